// Text in, pages out.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { longText, CHINESE, ORDER } from "./texts.js";
import { nativePages } from "./glyph.js";
import { expect, test } from "./page.js";

test("pages appear while a text is typed, and are those of the native renderer", async ({ app }) => {
  await app.write(ORDER);
  const native = await nativePages(ORDER);
  await expect(app.tiles).toHaveCount(native.length);
  expect(await app.figure("pages").textContent()).toBe(String(native.length));
  // The PNG encoder is the same on both sides: equal pixels are equal files.
  const files = await app.pngFiles();
  native.forEach((file, index) => expect(file.equals(files[index])).toBe(true));
});

for (const [name, text] of [
  ["English", longText(20_000)],
  ["Chinese and English", `${CHINESE}\n`.repeat(20)],
]) {
  test(`the official style draws the pixels of the native renderer: ${name}`, async ({ app }) => {
    await app.page.getByText("Official Glyph").click();
    await app.write(text);
    const native = await nativePages(text, "official");
    await expect(app.tiles).toHaveCount(native.length);
    const files = await app.pngFiles();
    native.forEach((file, index) => expect(file.equals(files[index])).toBe(true));
  });
}

test("figures follow from text and pages", async ({ app }) => {
  await app.write(ORDER);
  const figure = async (name) => Number((await app.figure(name).textContent()).replace(/[,×]/g, ""));
  const [width, height] = await app.tiles
    .first()
    .locator("img")
    .evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  const tokens = (width / 28) * (height / 28) * (await app.tiles.count());
  expect(await figure("characters")).toBe(ORDER.length);
  expect(await figure("vision-tokens")).toBe(tokens);
  expect(await figure("compression")).toBeCloseTo(ORDER.length / tokens, 1);
  await expect(app.figure("kv")).toContainText(/[0-9.]+ [KM]B · as text [0-9.]+ [KM]B/);
});

test("a changed style is drawn anew and can be taken back", async ({ app }) => {
  await app.write(ORDER);
  const before = await app.pngFiles();
  await app.page.getByText("Style", { exact: true }).last().click();
  await app.page.getByTestId("dpi").selectOption("96");
  await expect(app.tiles.first()).toContainText("×");
  await expect(async () => {
    const scaled = (await app.pngFiles())[0];
    // Width of the PNG header.
    expect(scaled.readUInt32BE(16)).toBe(Math.ceil((before[0].readUInt32BE(16) * 96) / 72));
  }).toPass();
  await app.page.getByRole("button", { name: "Reset the style" }).click();
  await expect(async () => {
    expect((await app.pngFiles())[0].equals(before[0])).toBe(true);
  }).toPass();
});

test("one page can be looked at closely", async ({ app }) => {
  await app.write(ORDER.repeat(4));
  await app.tiles.first().click();
  const dialog = app.page.getByRole("dialog");
  await expect(dialog).toContainText(/Page 1 of/);
  await app.page.keyboard.press("ArrowRight");
  await expect(dialog).toContainText(/Page 2 of/);
  await app.page.keyboard.press("+");
  await expect(dialog.locator("img")).toHaveAttribute("style", /width:/);
  await app.page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
});

test("Chinese is drawn with a font that is fetched once, when it is needed", async ({ app, page }) => {
  const fonts = [];
  page.on("request", (request) => {
    if (request.url().endsWith(".ttf")) {
      fonts.push(request.url());
    }
  });
  await app.write("Only English so far.");
  const isChinese = (url) => /CJK/.test(url);
  expect(fonts.filter(isChinese)).toHaveLength(0);
  await app.write(CHINESE);
  await app.write(`${CHINESE}!`);
  expect(fonts.filter(isChinese)).toHaveLength(1);
  await expect(page.getByTestId("missing")).toHaveCount(0);
});

test("characters in no font are counted and named", async ({ app, page }) => {
  await app.write("A hieroglyph: 𓀀𓀀, and a smile.");
  await expect(page.getByTestId("missing")).toContainText("U+13000");
  await expect(page.getByTestId("missing")).toContainText("×2");
});

test("drawing a long text can be cancelled and taken up again", async ({ app, page }) => {
  await app.openFile("long.txt", longText(4_000_000));
  // At once: it does not take long.
  await page.getByRole("button", { name: "Cancel" }).dispatchEvent("click");
  await expect(app.drawing).toContainText("Cancelled");
  const drawn = Number((await app.figure("pages").textContent()).replaceAll(",", ""));
  await page.getByRole("button", { name: "Draw all" }).click();
  await app.drawn();
  const all = Number((await app.figure("pages").textContent()).replaceAll(",", ""));
  expect(all).toBeGreaterThan(drawn);
});

/** What the page's thread did at one go, by a trace: milliseconds on the clock and of the processor. */
function tasks(trace) {
  const { traceEvents } = JSON.parse(trace);
  const isMain = ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain";
  const thread = ({ pid, tid }) => `${pid}:${tid}`;
  const threads = new Set(traceEvents.filter(isMain).map(thread));
  return traceEvents
    .filter((event) => event.name.endsWith("RunTask") && threads.has(thread(event)))
    .map(({ dur, tdur }) => ({ clock: Math.round(dur / 1000), processor: Math.round(tdur / 1000) }));
}

test("a megabyte is drawn without the page standing still", async ({ app, browser, page }) => {
  await page.getByText("Official Glyph").click();
  // A file on the disk, as a person has it: Playwright builds others in the page's own thread.
  const file = join(test.info().outputPath(), "megabyte.txt");
  await writeFile(file, longText(1 << 20));
  await browser.startTracing(page, { categories: ["toplevel"] });
  await page.getByTestId("file").setInputFiles(file);
  await expect(page.getByTestId("file-note")).toContainText("megabyte.txt · UTF-8 · 1.0 MB");
  await app.drawn();
  const done = tasks(await browser.stopTracing());
  const longest = (key) => done.map((task) => task[key]).sort((a, b) => b - a).slice(0, 5);
  const pages = await app.figure("pages").textContent();
  console.log(
    `1 MB, ${pages} pages; longest blocks of the page's thread: ` +
      `${longest("clock")} ms, of that on a processor ${longest("processor")} ms`,
  );
  expect(done.length).toBeGreaterThan(100);
  // Other programs of the machine keep the thread waiting too, so its own time is what is limited.
  expect(longest("processor")[0]).toBeLessThan(200);
});

test("a long text is shown by its beginning, and can be edited whole", async ({ app, page }) => {
  const text = longText(60_000);
  await app.openFile("long.txt", text);
  await app.drawn();
  await expect(app.figure("characters")).toHaveText(text.length.toLocaleString("en"));
  const before = await app.figure("pages").textContent();
  const excerpt = page.getByRole("region", { name: "The text to read" });
  await expect(excerpt).toContainText(text.slice(0, 100));
  await page.getByRole("button", { name: "Edit all of it" }).click();
  await expect(page.locator("#text textarea")).toHaveValue(text);
  await expect(app.figure("pages")).toHaveText(before);
});

test.describe("files", () => {
  const text = "Größe: 汉字 and more\n".repeat(30);
  const utf16 = (bigEndian) => {
    const bytes = Buffer.from(`\uFEFF${text}`, "utf16le");
    return bigEndian ? bytes.swap16() : bytes;
  };
  // "汉字abc" again and again, in GB18030.
  const gb18030 = Buffer.concat(
    Array.from({ length: 30 }, () => Buffer.from([0xba, 0xba, 0xd7, 0xd6, 0x61, 0x62, 0x63, 0x0a])),
  );
  for (const [name, bytes, encoding, characters] of [
    ["plain.txt", Buffer.from(text), "UTF-8", text.length],
    ["marked.txt", Buffer.from(`\uFEFF${text}`), "UTF-8", text.length],
    ["little.txt", utf16(false), "UTF-16LE", text.length],
    ["big.txt", utf16(true), "UTF-16BE", text.length],
    ["chinese.txt", gb18030, "GB18030", 180],
  ]) {
    test(`${name} is read as ${encoding}`, async ({ app, page }) => {
      await app.openFile(name, bytes);
      await expect(page.getByTestId("file-note")).toContainText(`${name} · ${encoding}`);
      await app.drawn();
      await expect(app.figure("characters")).toHaveText(String(characters));
      await expect(page.getByTestId("missing")).toHaveCount(0);
    });
  }

  for (const [name, bytes, message] of [
    ["picture.png", Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3, 0xff]), "is not a text"],
    ["empty.txt", Buffer.alloc(0), "is empty"],
  ]) {
    test(`${name} is refused with a reason`, async ({ app, page }) => {
      await app.openFile(name, bytes);
      await expect(page.getByRole("alert").first()).toContainText(`${name} ${message}`);
    });
  }
});
