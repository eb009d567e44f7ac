// The page before its own small files are there: those of the built-in model, whose style pages are drawn in.

import { nativePages } from "./glyph.js";
import { ORDER } from "./texts.js";
import { App, expect, holdBack, test } from "./page.js";

test("a text that is there first waits for them, and can be asked about", async ({ page, server }) => {
  const config = await holdBack(page, "**/config.json");
  await page.goto(server.url);
  const app = new App(page);
  await app.text.fill(ORDER);
  await expect(app.drawing).toContainText("Fetching the model's style");
  await expect(page.getByText("enter a text first")).toHaveCount(0);
  await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
  await app.ask("What is the order number?", 200);
  await expect(page.getByTestId("answer-status").first()).toHaveText("Fetching the model's style…");
  config.letGo();
  expect(await app.answered()).toContain("73-4815");
  await expect(app.tiles).toHaveCount((await nativePages(ORDER)).length);
});

test("a text that is cancelled before they come is not drawn when they do", async ({ page, server }) => {
  const config = await holdBack(page, "**/config.json");
  await page.goto(server.url);
  const app = new App(page);
  await app.text.fill(ORDER);
  await app.drawing.getByRole("button", { name: "Cancel" }).click();
  await expect(app.drawing).toContainText("Cancelled");
  await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
  config.letGo();
  // The page knows the built-in model.
  await expect(page.getByText("text tokens (bytes)")).toBeVisible();
  await expect(app.drawing).toContainText("Cancelled");
  await expect(app.tiles).toHaveCount(0);
  await page.getByRole("button", { name: "Draw all" }).click();
  await app.drawn();
  await expect(app.tiles).not.toHaveCount(0);
});

test("one that hangs is given up and named, and the text is drawn in the official style", async ({
  page,
  server,
}) => {
  await page.addInitScript(() => {
    const timeout = AbortSignal.timeout;
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 30);
  });
  await page.route("**/config.json", () => {
    // Never answered.
  });
  await page.goto(server.url);
  const app = new App(page);
  await app.text.fill(ORDER);
  await expect(app.drawing).toContainText("Fetching the model's style");
  const notice = page.getByRole("alert").filter({ hasText: "missing or broken" });
  await expect(notice).toContainText("/config.json cannot be fetched whole");
  await app.drawn();
  await expect(app.tiles).toHaveCount((await nativePages(ORDER, "official")).length);
});
