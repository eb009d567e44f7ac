// The JavaScript API, called as other pages call it.

import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { dist } from "./glyph.js";
import { CHINESE } from "./texts.js";
import { expect, test } from "./api.js";

const MODEL = "../../models/glyph-mini";

test("weights and downloads are told with all their bytes", async ({ api }) => {
  const steps = await api.evaluate(async () => {
    const steps = [];
    const onProgress = (step) => steps.push(step);
    const model = await glyph.loadModel({ device: "cpu", onProgress });
    model.close();
    return steps;
  });
  expect([...new Set(steps.map(({ stage }) => stage))]).toEqual(["download", "device", "weights"]);
  const downloads = steps.filter(({ stage }) => stage === "download");
  const weights = downloads.filter(({ file }) => file === "model.safetensors");
  const { length } = await readFile(join(MODEL, "model.safetensors"));
  expect(weights.length).toBeGreaterThan(1);
  expect(weights.every(({ total }) => total === length)).toBe(true);
  expect(downloads.every(({ total, fromCache }) => total > 0 && fromCache === false)).toBe(true);
  const shares = steps.filter(({ stage }) => stage === "weights").map(({ bytes, total }) => bytes / total);
  expect(shares.some((share) => share > 0.5 && share < 1)).toBe(true);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  expect(shares.at(-1)).toBe(1);
});

test("a missing option is named, and the model goes on", async ({ api }) => {
  const { refused, answer } = await api.evaluate(async (text) => {
    const model = await glyph.loadModel({ device: "cpu" });
    const pages = await drawn(text, model);
    const question = "Read the page.";
    const refused = {
      pages: await failure(glyph.ask(model, { question })),
      page: await failure(glyph.ask(model, { question, pages: ["no blob"] })),
      question: await failure(glyph.ask(model, { pages })),
      nothing: await failure(glyph.ask(model)),
      seed: await failure(glyph.ask(model, { question, pages, seed: -1 })),
      maxTokens: await failure(glyph.ask(model, { question, pages, maxTokens: "many" })),
      device: await failure(glyph.loadModel({ device: "npu" })),
      tokens: await failure(model.countTokens()),
    };
    const answer = await glyph.ask(model, { question, pages, maxTokens: 4 });
    model.close();
    return { refused, answer };
  }, "Order number: 73-4815");
  expect(refused.pages.message).toBe("pages is undefined; it must be an array");
  expect(refused.pages).toMatchObject({ code: "argument", detail: "pages" });
  expect(refused.page).toMatchObject({ code: "argument", detail: "pages" });
  for (const name of ["question", "nothing"]) {
    expect(refused[name].code, name).toBe("argument");
    expect(refused[name].message, name).toContain("question");
  }
  for (const name of ["seed", "maxTokens", "device"]) {
    expect(refused[name].code, name).toBe("argument");
  }
  expect(refused.device.message).toContain("npu");
  expect(refused.tokens).toMatchObject({ code: "argument", detail: "text" });
  expect(answer.answerTokens).toBe(4);
});

test("the renderer names what it cannot use", async ({ api }) => {
  const refused = await api.evaluate(async () => {
    const rules = { patchSize: 0, mergeSize: 2, temporalPatchSize: 2, minPixels: 1, maxPixels: 1e6 };
    return {
      text: await failure(glyph.renderPages()),
      file: await failure(glyph.decodeText("no blob")),
      encoding: await failure(glyph.decodeText(new Blob(["x"]), { encoding: "KOI8-R" })),
      entries: await failure(glyph.zip()),
      entry: await failure(glyph.zip(["page.png"])),
      rules: await failure(glyph.renderPages("x", { rules })),
      number: await failure(glyph.renderPages("x", { style: 5 })),
      named: await failure(glyph.renderPages("x", { style: "unofficial" })),
      key: await failure(glyph.renderPages("x", { overrides: { dpi: "many" } })),
      unknown: await failure(glyph.renderPages("x", { overrides: { color: "red" } })),
      missing: await failure(glyph.renderPages("x", { style: { dpi: 72 } })),
      width: await failure(glyph.renderPages("x", { overrides: { "left-indent": 600 } })),
      height: await failure(glyph.renderPages("x", { overrides: { "line-height": 500 } })),
      contrast: await failure(
        glyph.renderPages("x", { overrides: { "font-color": "#FFFFFF", "page-bg-color": "#000000" } }),
      ),
      pixels: await failure(glyph.renderPages("x", { overrides: { dpi: 2400 } })),
      letters: await failure(
        glyph.renderPages("x", { overrides: { "font-size": 1025, "page-size": "595,5000" } }),
      ),
      font: await failure(glyph.renderPages("x", { overrides: { "font-path": "none.ttf" } })),
    };
  });
  for (const [name, detail] of [
    ["text", "text"],
    ["file", "file"],
    ["encoding", "encoding"],
    ["entries", "entries"],
    ["entry", "entries"],
    ["rules", "rules.patchSize"],
    ["named", "style"],
  ]) {
    expect(refused[name], name).toMatchObject({ code: "argument", detail });
  }
  expect(refused.number).toMatchObject({ code: "argument" });
  expect(refused.key).toMatchObject({ code: "style", detail: 'dpi = "many"' });
  expect(refused.key.message).toContain("dpi");
  expect(refused.unknown).toMatchObject({ code: "style-unknown", detail: "color" });
  expect(refused.missing).toMatchObject({ code: "style-missing", detail: "font-path" });
  // Of 595 points the margins, the frame and the indent leave less than nothing.
  expect(refused.width).toMatchObject({ code: "style-width", detail: "-37.00 pt" });
  expect(refused.height).toMatchObject({ code: "style-height", detail: "2 × 500 > 810.00 pt" });
  expect(refused.height.message).toContain("lower margin-y or line-height");
  expect(refused.contrast).toMatchObject({ code: "style-contrast", detail: "#FFFFFF" });
  expect(refused.pixels.code).toBe("style-pixels");
  expect(refused.letters).toMatchObject({ code: "style-letters", detail: "1025 px" });
  expect(refused.font).toMatchObject({ code: "font", detail: "none.ttf" });
});

test("the size of what is kept is told without reading the weights", async ({ api }) => {
  const { told, kept, read } = await api.evaluate(async () => {
    (await glyph.loadModel({ device: "cpu" })).close();
    const cache = await caches.open("glyph-models");
    // Of a compressed body the header has another length; another origin does not tell that it was compressed.
    const headers = { "content-length": "3" };
    const compressed = { ...headers, "content-encoding": "gzip" };
    for (const name of ["tokenizer.json", "model.safetensors"]) {
      const body = "x".repeat(1000);
      await cache.put(`compressed/${name}`, new Response(body, { headers: compressed }));
    }
    await cache.put("elsewhere/tokenizer.json", new Response("x".repeat(1000), { headers }));
    const responses = await cache.matchAll();
    const sizes = await Promise.all(responses.map(async (response) => (await response.blob()).size));
    let read = 0;
    const blobOf = Response.prototype.blob;
    Response.prototype.blob = async function () {
      const blob = await blobOf.call(this);
      read += blob.size;
      return blob;
    };
    const told = await glyph.cachedBytes();
    return { told, kept: sizes.reduce((sum, size) => sum + size, 0), read };
  });
  const { length } = await readFile(join(MODEL, "model.safetensors"));
  expect(kept).toBeGreaterThan(length);
  expect(told).toBe(kept);
  expect(read).toBeLessThan(length / 10);
});

test("drawings that need the Chinese font at the same time fetch it once", async ({ api }) => {
  const fonts = [];
  api.on("request", (request) => {
    if (/CJK[^/]*\.ttf$/.test(request.url())) {
      fonts.push(request.url());
    }
  });
  const summaries = await api.evaluate((text) => {
    const texts = [1, 2, 3].map((number) => `${number} ${text}`);
    return Promise.all(texts.map((text) => glyph.renderPages(text, { overrides: { dpi: 72 } })));
  }, CHINESE);
  expect(summaries.map(({ missing }) => missing)).toEqual([[], [], []]);
  expect(fonts).toHaveLength(1);
});

test.describe("files of a text", () => {
  const sentence = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。";
  const kana = "これはテキストです。ひらがなです。";
  const utf16 = (text) => [...Buffer.from(text, "utf16le")];
  const swapped = (text) => [...Buffer.from(text, "utf16le").swap16()];
  // 汉字, A和B in GB18030.
  const gb18030 = [0xba, 0xba, 0xd7, 0xd6, 0x0a, 0x41, 0xba, 0xcd, 0x42];
  const western = [...Buffer.from("Größe, schöne Häuser, déjà vu", "latin1")];
  for (const [name, bytes, encoding, text] of [
    ["Chinese without a mark", utf16(sentence), "UTF-16LE", sentence],
    ["Chinese without a mark, big-endian", swapped(sentence), "UTF-16BE", sentence],
    ["kana without a mark", utf16(kana), "UTF-16LE", kana],
    ["kana without a mark, big-endian", swapped(kana), "UTF-16BE", kana],
    ["Chinese in pairs of bytes", gb18030, "GB18030", "汉字\nA和B"],
    ["the same from a disk of DOS", [...gb18030, 0x1a], "GB18030", "汉字\nA和B\u001a"],
    ["cut within its last character", [...Buffer.from("床前明月光").subarray(0, -1)], "UTF-8", "床前明月"],
    ["one German word", [0x47, 0x72, 0xf6, 0xdf, 0x65], "windows-1252", "Größe"],
    ["German and French", western, "windows-1252", "Größe, schöne Häuser, déjà vu"],
  ]) {
    test(`${name}: ${encoding}`, async ({ api }) => {
      const decoded = await api.evaluate(
        async (bytes) => glyph.decodeText(new Blob([new Uint8Array(bytes)])),
        bytes,
      );
      expect(decoded).toMatchObject({ encoding, text });
    });
  }

  test("what is no text is refused by name", async ({ api }) => {
    const refused = await api.evaluate(async () => ({
      empty: await failure(glyph.decodeText(new File([], "empty.txt"))),
      binary: await failure(glyph.decodeText(new File([new Uint8Array([0x89, 0, 1, 2, 0xff])], "a.png"))),
      nameless: await failure(glyph.decodeText(new Blob([]))),
    }));
    expect(refused.empty).toMatchObject({ code: "empty", detail: "empty.txt" });
    expect(refused.binary).toMatchObject({ code: "binary", detail: "a.png" });
    expect(refused.nameless).toMatchObject({ code: "empty", detail: "file" });
  });
});

test.describe("checkpoints", () => {
  // Chromium's own words about an answer that is none of success.
  test.use({ allowedConsole: /Failed to load resource/ });

  test("files of folders in the folder are left out", async ({ api }) => {
    const directory = await mkdtemp(join(tmpdir(), "glyph-browser-"));
    try {
      await cp(MODEL, directory, { recursive: true });
      await cp(MODEL, join(directory, "another"), { recursive: true });
      await writeFile(join(directory, "another/config.json"), "{");
      await api.evaluate(() => {
        const input = document.createElement("input");
        Object.assign(input, { type: "file", id: "folder", webkitdirectory: true });
        document.body.append(input);
      });
      await api.locator("#folder").setInputFiles(directory);
      const names = await api.evaluate(async () => {
        const files = [...document.querySelector("#folder").files];
        const names = [];
        // The order of the files is the browser's.
        for (const ordered of [files, [...files].reverse()]) {
          const model = await glyph.loadModel({ device: "cpu", files: ordered });
          names.push(model.name);
          model.close();
        }
        return names;
      });
      const name = directory.split("/").at(-1);
      expect(names).toEqual([name, name]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  for (const status of [401, 403, 410]) {
    test(`a host may answer ${status} for files that it does not have`, async ({ api, server }) => {
      const base = `${server.url}/checkpoint/`;
      await api.route(`${base}**`, async (route) => {
        const name = new URL(route.request().url()).pathname.split("/").at(-1);
        const body = await readFile(join(MODEL, name)).catch(() => undefined);
        return route.fulfill(body ? { body, contentType: "application/octet-stream" } : { status });
      });
      const name = await api.evaluate(async (url) => {
        const model = await glyph.loadModel({ device: "cpu", url });
        model.close();
        return model.name;
      }, base);
      expect(name).toBe("checkpoint");
    });
  }

  test("a host that hands out nothing is told with its answer", async ({ api, server }) => {
    const base = `${server.url}/checkpoint/`;
    await api.route(`${base}**`, (route) => route.fulfill({ status: 403 }));
    const refused = await api.evaluate((url) => failure(glyph.loadModel({ device: "cpu", url })), base);
    expect(refused).toMatchObject({ code: "network", detail: `${base}config.json: HTTP 403` });
  });

  test("a font that cannot be fetched is told with its address", async ({ api }) => {
    await api.route("**/*.ttf", (route) => route.fulfill({ status: 500 }));
    const refused = await api.evaluate(() => failure(glyph.renderPages("x")));
    expect(refused.code).toBe("network");
    expect(refused.detail).toMatch(/\.ttf: HTTP 500$/);
    await api.unroute("**/*.ttf");
    expect(await api.evaluate(async () => (await glyph.renderPages("x")).pages)).toBe(1);
  });
});

test("the example frees the pages that it shows no more", async ({ page, server }) => {
  await page.goto(`${server.url}/example.html?device=cpu&max=1`);
  await page.evaluate(() => {
    window.revoked = [];
    const revoke = URL.revokeObjectURL;
    URL.revokeObjectURL = (address) => {
      window.revoked.push(address);
      revoke.call(URL, address);
    };
  });
  const shown = async () => {
    await page.getByRole("button").click();
    await expect(page.getByRole("status")).toContainText("tokens on cpu");
    return page.locator("#pages img").evaluateAll((images) => images.map(({ src }) => src));
  };
  const first = await shown();
  expect(first).toHaveLength(1);
  await shown();
  expect(await page.evaluate(() => window.revoked)).toEqual(first);
});

test("the types are those of what is offered", async () => {
  const tsc = ["node_modules/typescript/bin/tsc", "--project", "types"];
  const { stdout } = await promisify(execFile)("node", tsc).catch((error) => error);
  expect(stdout).toBe("");
  // What is typed is there, and what is there is typed.
  const declared = (await readFile("../../web/api/glyph.d.ts", "utf8")).matchAll(/^export function (\w+)/gm);
  const exported = (await readFile(join(dist(), "glyph.js"), "utf8")).matchAll(
    /^export (?:async )?(?:function|const|class) (\w+)/gm,
  );
  const names = (found) => [...found].map(([, name]) => name).sort();
  expect(names(declared)).toEqual(names(exported));
});

test("the code in docs/WEB.md is that of the example", async () => {
  const docs = await readFile("../../docs/WEB.md", "utf8");
  const [, snippet] = /## In a page of one's own\n[^]*?```js\n([^]*?)```/.exec(docs);
  const example = await readFile(join(dist(), "example.html"), "utf8");
  const indented = snippet.trim().replace(/^(?=.)/gm, "      ");
  expect(example).toContain(indented);
});
