// How the tokens of the text are counted, and what they take.

import { fakeServer } from "./fake.js";
import { serve } from "./glyph.js";
import { longText, ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

/** Longer than the page waits for the next letter before it has a text counted. */
const LONG_MS = 1500;

test.describe("a model under another name", () => {
  test.use({ allowedConsole: /status of 413/ });

  test("has its tokens counted by the server, or the page says why not", async ({ page }) => {
    const server = await serve("--served-model-name", "another", "--body-limit", "100KB");
    try {
      await page.goto(server.url);
      await expect(page.locator("summary", { hasText: "another" })).toBeVisible();
      const app = new App(page);
      await app.write(ORDER);
      // glyph-mini's tokens are bytes.
      const bytes = (text) => Buffer.byteLength(text).toLocaleString("en");
      await expect(app.figure("text-tokens")).toHaveText(bytes(ORDER));
      const long = longText(60_000);
      await app.openFile("long.txt", long);
      await expect(app.figure("text-tokens")).toHaveText(bytes(long));
      await app.openFile("longer.txt", longText(150_000));
      await expect(page.getByTestId("uncounted")).toContainText("refuses");
      await expect(app.figure("text-tokens")).toHaveText("–");
    } finally {
      await server.stop();
    }
  });
});

test("other settings than those of who answers have nothing counted again", async ({ app, page }) => {
  const server = await fakeServer();
  try {
    await app.useServer(server.url, "another");
    await app.write(ORDER);
    await expect(app.figure("text-tokens")).toHaveText(ORDER.length.toLocaleString("en"));
    const before = server.asked("/v1/tokenize");
    expect(before).toBeGreaterThan(0);
    await page.locator(".style-details > summary").click();
    await page.getByLabel("Text colour", { exact: true }).fill("#0000ff");
    await app.drawn();
    await page.getByLabel("Colours").selectOption("dark");
    await page.getByTestId("max-tokens").fill("7");
    await page.getByTestId("max-tokens").press("Tab");
    await page.getByLabel("Language").selectOption("zh");
    await page.waitForTimeout(LONG_MS);
    expect(server.asked("/v1/tokenize")).toBe(before);
    await app.text.fill(`${ORDER}.`);
    await expect(app.figure("text-tokens")).toHaveText((ORDER.length + 1).toLocaleString("en"));
    expect(server.asked("/v1/tokenize")).toBeGreaterThan(before);
  } finally {
    await server.stop();
  }
});

test("a long text takes more of a KV cache than 32 bits count", async ({ app, page }) => {
  const text = longText(400_000);
  const { model } = await (await page.request.get(new URL("assets.json", page.url()).href)).json();
  const config = await (
    await page.request.get(new URL(`${model.base}config.json`, page.url()).href)
  ).json();
  const { num_hidden_layers: layers, hidden_size: width } = config.text_config;
  const bytes = Buffer.byteLength(text) * layers * 2 * width * 4;
  expect(bytes).toBeGreaterThan(2 ** 32);
  // Fewer pages are drawn sooner.
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", text);
  await app.drawn();
  await expect(app.figure("kv")).toContainText(`as text ${(bytes / 1e9).toFixed(1)} GB`);
});

test.describe("a server without the route", () => {
  test.use({ allowedConsole: /status of 404/ });

  test("is asked once, and the page says why in its language", async ({ app, page }) => {
    const replies = { "/v1/tokenize": { status: 404, body: {} } };
    const server = await fakeServer({ replies });
    const uncounted = page.getByTestId("uncounted");
    try {
      await app.useServer(server.url, "another");
      await app.text.fill(ORDER);
      await expect(uncounted).toContainText("the server has no /v1/tokenize");
      await app.text.fill(`${ORDER} And more.`);
      await page.waitForTimeout(LONG_MS);
      await expect(uncounted).toContainText("the server has no /v1/tokenize");
      expect(server.asked("/v1/tokenize")).toBe(1);
      await page.getByLabel("Language").selectOption("zh");
      await expect(uncounted).toContainText("服务器没有 /v1/tokenize");
    } finally {
      await server.stop();
    }
  });
});

test.describe("a page whose files are broken", () => {
  test.use({ allowedConsole: /status of 404/ });

  test("names the file and what is wrong with it", async ({ page, server }) => {
    const notice = page.getByRole("alert").filter({ hasText: "missing or broken" });
    await page.route("**/config.json", (route) => route.fulfill({ status: 404, body: "<!doctype html>" }));
    await page.goto(server.url);
    await expect(notice).toContainText("HTTP 404");
    await expect(notice).toContainText("config.json");
    await page.unroute("**/config.json");
    await page.route("**/preprocessor_config.json", (route) => route.fulfill({ json: { patch_size: 14 } }));
    await page.reload();
    await expect(notice).toContainText("preprocessor_config.json has no positive number at /merge_size");
  });
});
