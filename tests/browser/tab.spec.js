// The model in the tab, where the browser has no WebGPU.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { failCounting, patch } from "./api.js";
import { browserArguments } from "./browser.js";
import { AS_IN_A_TAB, hostFiles, nativeAnswer } from "./glyph.js";
import { ORDER } from "./texts.js";
import { App, expect, holdBack, test } from "./page.js";

const QUESTION = "Read the page.";
const TEXT = ORDER.split("\n").slice(0, 4).join("\n");

const modelWorkers = (page) =>
  page.workers().filter((worker) => worker.url().includes("model-worker"));

test.use({
  launchOptions: async ({ launchOptions }, use) => {
    await use({ ...launchOptions, args: browserArguments({ webgpu: false }) });
  },
  // Chromium's own word where there is no graphics adapter.
  allowedConsole: /No available adapters/,
});

test("the CPU takes over, says so, and answers as the native one does", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("auto");
  await expect(page.getByTestId("no-webgpu")).toBeVisible();
  await app.ask(QUESTION, 200);
  const answer = await app.answered();
  expect(answer).not.toBe("");
  expect(answer).toBe((await nativeAnswer(ORDER, QUESTION, 200, ...AS_IN_A_TAB)).answer);
  await expect(page.getByTestId("tab-ready")).toContainText("CPU");
  await expect(page.getByTestId("answer-figures").first()).toContainText("tokens/s");
});

test("an answer can be stopped, and another asked for", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("who stops an answer does not wait for the model", async ({ app, page }) => {
  await app.write(TEXT);
  await app.useTab("cpu");
  await page.route("**/*.safetensors", () => {
    // Never answered.
  });
  await app.ask(QUESTION, 8);
  await expect(page.getByTestId("answer-status").first()).toContainText("Loading the model");
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await page.unroute("**/*.safetensors");
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("who asks while the model is being loaded waits for it, and it is loaded once", async ({
  app,
  page,
}) => {
  const weights = await holdBack(page, "**/*.safetensors");
  await app.write(TEXT);
  await app.useTab("cpu");
  await page.getByTestId("load").click();
  await expect.poll(() => weights.requests).toHaveLength(1);
  await app.ask(QUESTION, 8);
  const status = page.getByTestId("answer-status").first();
  await expect(status).toContainText("Loading the model");
  // The load under way is the one that is shown, and can still be cancelled.
  await expect(page.getByTestId("tab-status").getByRole("button", { name: "Cancel" })).toBeVisible();
  weights.letGo();
  expect((await app.answered()).length).toBeGreaterThan(0);
  await expect(page.getByTestId("tab-ready")).toBeVisible();
  expect(weights.requests).toHaveLength(1);
  expect(modelWorkers(page)).toHaveLength(1);
});

test("who stops an answer while the model is being loaded ends the loading", async ({ app, page }) => {
  await page.route("**/*.safetensors", () => {
    // Never answered.
  });
  await app.write(TEXT);
  await app.useTab("cpu");
  await page.getByTestId("load").click();
  await expect(page.getByTestId("tab-status").getByRole("button", { name: "Cancel" })).toBeVisible();
  await app.ask(QUESTION, 8);
  await expect(page.getByTestId("answer-status").first()).toContainText("Loading the model");
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await expect(page.getByTestId("load")).toBeVisible();
  await expect.poll(() => modelWorkers(page)).toHaveLength(0);
});

test("a folder that is chosen while another model is being loaded takes its place", async ({
  app,
  page,
}) => {
  await page.route("**/*.safetensors", () => {
    // Never answered: the folder's weights are not fetched.
  });
  await app.write(TEXT);
  await app.useTab("cpu");
  await page.getByTestId("load").click();
  await expect(page.getByTestId("tab-status").getByRole("button", { name: "Cancel" })).toBeVisible();
  await page.getByTestId("folder").setInputFiles("../../models/glyph-mini");
  await expect(page.getByTestId("tab-ready")).toContainText("glyph-mini");
  await expect.poll(() => modelWorkers(page)).toHaveLength(1);
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("a worker that ends in an answer is told, and the next question starts another", async ({
  app,
  page,
}) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  const worker = page.workers().find((one) => one.url().includes("model-worker"));
  await worker.evaluate(() => setTimeout(() => { throw new Error("out of memory"); }));
  await app.answered();
  await expect(app.answer.getByRole("alert")).toContainText("out of memory");
  // It was loaded: that is not what failed.
  await expect(page.getByTestId("tab-failed")).toContainText("The model in this browser has failed");
  await expect(page.getByTestId("tab-failed")).not.toContainText("cannot be loaded");
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("a worker that ends while it counts tokens is told, and the next one does not count that text", async ({
  app,
  page,
}) => {
  await failCounting(page);
  await app.write(TEXT);
  await app.useTab("cpu");
  // The page counts the tokens of the built-in model itself.
  await page.getByTestId("folder").setInputFiles("../../models/glyph-mini");
  await expect(page.getByTestId("tab-failed")).toContainText("The model in this browser has failed");
  await expect(page.getByTestId("tab-ready")).toHaveCount(0);
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
  await expect(page.getByTestId("uncounted")).toContainText("out of memory");
  // Longer than the page waits before it has a text counted.
  await page.waitForTimeout(1500);
  await expect(page.getByTestId("tab-ready")).toBeVisible();
  await expect(app.figure("text-tokens")).toHaveText("–");
  // Another text is counted, and ends the worker as well. Its ratio never comes.
  await app.text.fill(`${TEXT}.`);
  await expect(page.getByTestId("tab-failed")).toContainText("out of memory");
});

test("a worker that has ended while nobody waited for it is told with its reason", async ({ app, page }) => {
  await page.getByLabel("Language").selectOption("zh");
  await app.write(TEXT);
  await app.useTab("cpu");
  await page.getByTestId("folder").setInputFiles("../../models/glyph-mini");
  await expect(app.figure("text-tokens")).toHaveText(TEXT.length.toLocaleString("en"));
  const [worker] = modelWorkers(page);
  await worker.evaluate(() => {
    const body = { message: "the graphics device failed", code: "device", detail: "the driver is gone" };
    setTimeout(() => self.postMessage({ id: 0, type: "crashed", body }), 100);
  });
  await expect.poll(() => modelWorkers(page)).toHaveLength(0);
  // Its ratio does not come before the model does.
  await app.text.fill(`${TEXT}.`);
  await expect(page.getByTestId("tab-failed")).toContainText("显卡设备出错（the driver is gone）");
  // It was not that text.
  await page.getByTestId("tab-failed").getByRole("button", { name: "重试" }).click();
  await expect(app.figure("text-tokens")).toHaveText((TEXT.length + 1).toLocaleString("en"));
});

test("files alone are enough, and are kept until they are deleted", async ({ page }) => {
  const host = await hostFiles();
  try {
    await page.goto(host.url);
    const app = new App(page);
    await app.write(TEXT);
    const weights = () => host.requests.filter((path) => path.endsWith(".safetensors")).length;
    expect(weights()).toBe(0);
    await page.getByTestId("load").click();
    await expect(page.getByTestId("tab-ready")).toContainText("glyph-mini");
    expect(weights()).toBe(1);
    await page.reload();
    await page.getByTestId("load").click();
    await expect(page.getByTestId("tab-ready")).toContainText("from this browser's cache");
    expect(weights()).toBe(1);
    await page.locator(".runner-details > summary").click();
    await expect(page.getByTestId("kept")).toContainText("MB");
    await page.getByRole("button", { name: "Delete" }).click();
    await expect(page.getByTestId("kept")).toContainText("0 B");
  } finally {
    await host.stop();
  }
});

test("in a folder of a host the tab answers as well", async ({ page }) => {
  const host = await hostFiles({ folder: "/apps/glyph/" });
  try {
    await page.goto(host.url);
    const app = new App(page);
    await app.write(TEXT);
    await app.ask(QUESTION, 8);
    expect((await app.answered()).length).toBeGreaterThan(0);
    const elsewhere = host.requests.filter((path) => !path.startsWith("/apps/glyph/"));
    expect(elsewhere.filter((path) => path !== "/favicon.ico")).toEqual([]);
  } finally {
    await host.stop();
  }
});

test("a browser that keeps nothing answers too, and the page says that nothing is kept", async ({ page, server }) => {
  await page.addInitScript(() => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, {
        get: () => {
          throw new DOMException("denied", "SecurityError");
        },
      });
    }
  });
  const denied = 'caches.open = () => Promise.reject(new DOMException("denied", "SecurityError"));';
  await patch(page, "model-worker", denied);
  await page.goto(server.url);
  const app = new App(page);
  await app.write(TEXT);
  await app.useTab("cpu");
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
  await expect(page.locator("#ask .hint", { hasText: "denied" })).toBeVisible();
});

test("who wants WebGPU alone is told that there is none, and what to do", async ({ app, page }) => {
  await app.write(TEXT);
  await app.useTab("webgpu");
  await app.ask(QUESTION, 8);
  await expect(app.answer.getByRole("alert")).toContainText("WebGPU");
  await expect(app.answer.getByRole("alert")).toContainText(/CPU/);
  await expect(app.answerText).toBeEmpty();
});

test("a checkpoint at an address and one in a folder answer too", async ({ app, page }) => {
  await app.write(TEXT);
  await app.useTab("cpu");
  const size = await app.tiles.first().textContent();
  const { model } = await (await page.request.get(new URL("assets.json", page.url()).href)).json();
  await page.getByLabel("Address of a checkpoint").fill(model.base);
  await page.getByLabel("Address of a checkpoint").press("Tab");
  // Its style is not known yet: these are pages of the official one.
  await expect(app.tiles.first()).not.toHaveText(size);
  await app.ask(QUESTION, 16);
  const answer = await app.answered();
  expect(answer).toBe((await nativeAnswer(TEXT, QUESTION, 16, ...AS_IN_A_TAB)).answer);
  await page.getByTestId("folder").setInputFiles("../../models/glyph-mini");
  await expect(page.getByTestId("tab-ready")).toContainText("glyph-mini");
  await app.ask(QUESTION, 16);
  expect(await app.answered()).toBe(answer);
});

/** A host of a checkpoint at an address of its own; it counts the weights that it hands out. */
async function hostCheckpoint(page) {
  const base = new URL("checkpoint/", page.url()).href;
  const host = { base, weights: 0, mode: "checkpoint", etag: '"1"' };
  await page.route(`${base}**`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").at(-1);
    const method = route.request().method();
    if (host.mode === "page") {
      return route.fulfill({ contentType: "text/html", body: "<!doctype html><title>Home</title>" });
    }
    if (host.mode === "broken" && name === "config.json") {
      return route.fulfill({ contentType: "application/json", body: "{" });
    }
    const file = join("../../models/glyph-mini", name);
    const body = await readFile(file).catch(() => undefined);
    if (!body) {
      return route.fulfill({ status: 404 });
    }
    if (method === "GET" && name.endsWith(".safetensors")) {
      host.weights += 1;
    }
    const headers = { "content-length": String(body.length), etag: host.etag };
    const contentType = "application/octet-stream";
    return route.fulfill({ contentType, headers, body: method === "HEAD" ? "" : body });
  });
  await page.getByLabel("Address of a checkpoint").fill(base);
  await page.getByLabel("Address of a checkpoint").press("Tab");
  return host;
}

test("an address that has a web page for every path is refused, and asked anew", async ({
  app,
  page,
}) => {
  await app.useTab("cpu");
  const host = await hostCheckpoint(page);
  const failed = page.getByTestId("tab-failed");
  host.mode = "page";
  await page.getByTestId("load").click();
  await expect(failed).toContainText(`${host.base}config.json is a web page`);
  host.mode = "broken";
  await failed.getByRole("button", { name: "Try again" }).click();
  await expect(failed).toContainText("config.json is not valid");
  host.mode = "checkpoint";
  await failed.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByTestId("tab-ready")).toContainText("checkpoint");
  // Nothing of the broken checkpoint was kept.
  expect(host.weights).toBe(2);
});

test("a kept checkpoint is fetched again when it has changed at its address", async ({
  app,
  page,
}) => {
  await app.useTab("cpu");
  const host = await hostCheckpoint(page);
  const load = async () => {
    await page.getByTestId("load").click();
    await expect(page.getByTestId("tab-ready")).toContainText("checkpoint");
  };
  const reload = async () => {
    await page.reload();
    await load();
  };
  await load();
  expect(host.weights).toBe(1);
  await reload();
  await expect(page.getByTestId("tab-ready")).toContainText("from this browser's cache");
  expect(host.weights).toBe(1);
  host.etag = '"2"';
  await reload();
  await expect(page.getByTestId("tab-ready")).not.toContainText("from this browser's cache");
  expect(host.weights).toBe(2);
});

test("errors of the JavaScript API have codes", async ({ page, server }) => {
  await page.goto(server.url);
  const failure = await page.evaluate(async () => {
    const { loadModel } = await import(new URL("glyph.js", document.baseURI).href);
    const files = [new File(["{}"], "other.json")];
    const { message, code, detail } = await loadModel({ device: "cpu", files }).catch((error) => error);
    return { message, code, detail };
  });
  expect(failure.message).toContain("model.safetensors is not there");
  expect(failure).toMatchObject({ code: "missing-file", detail: "model.safetensors" });
});

test("a folder without a checkpoint is refused with what is missing", async ({ app, page }) => {
  await app.useTab("cpu");
  await page.getByTestId("folder").setInputFiles("../../crates/glyph-cli/samples");
  await expect(page.getByTestId("tab-failed")).toContainText("is not there");
});

test("the example of the JavaScript API works", async ({ page, server }) => {
  await page.goto(`${server.url}/example.html?device=cpu&max=32`);
  await page.getByRole("button").click();
  await expect(page.getByRole("status")).toContainText("tokens on cpu");
  const native = await nativeAnswer(await page.locator("#text").inputValue(), QUESTION, 32, ...AS_IN_A_TAB);
  await expect(page.locator("#answer")).toHaveText(native.answer);
});
