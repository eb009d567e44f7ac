// Pictures of the main states for docs/, made where GLYPH_SCREENSHOTS names a directory.

import { join } from "node:path";
import { CHINESE, longText, ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

const directory = process.env.GLYPH_SCREENSHOTS;
const shot = (page, name) => page.screenshot({ path: join(directory, `${name}.png`) });

/** The newest answer stands below what was asked, and mostly below the window's edge. */
async function answerShot(app, name) {
  await app.answer.evaluate((answer) => answer.scrollIntoView({ block: "end" }));
  await shot(app.page, name);
}

test.skip(!directory, "GLYPH_SCREENSHOTS is not set");

test("first sight", async ({ app, page }) => {
  await expect(app.text).toBeVisible();
  await shot(page, "web-empty");
});

test("pages and an answer", async ({ app, page }) => {
  await app.write(ORDER);
  await page.getByRole("button", { name: "Read all pages" }).click();
  await app.answered();
  await answerShot(app, "web-answer");
});

test("a long text in the official style, dark", async ({ app, page }) => {
  await page.getByLabel("Colours").selectOption("dark");
  await page.getByText("Official Glyph").click();
  await app.openFile("report.txt", longText(120_000));
  await app.drawn();
  await page.locator(".style-details > summary").click();
  await shot(page, "web-long-dark");
});

test("the model in the tab", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  await app.ask("Read the page.", 64);
  await app.answered();
  await answerShot(app, "web-tab");
});

test("one page", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await app.write(longText(20_000));
  await app.tiles.first().click();
  await expect(page.getByRole("dialog")).toBeVisible();
  await shot(page, "web-zoom");
});

test.describe("in Chinese on a phone", () => {
  test.use({ locale: "zh-CN", viewport: { width: 390, height: 844 } });

  test("in Chinese on a phone", async ({ page, server }) => {
    await page.goto(server.url);
    const app = new App(page);
    await app.write(`${CHINESE}\n`.repeat(6));
    await page.screenshot({ path: join(directory, "web-phone-zh.png"), fullPage: true });
  });
});

test.describe("an error", () => {
  test.use({ allowedConsole: /net::ERR_|Failed to load resource/ });

  test("a server that does not answer", async ({ app, page }) => {
    await app.write(ORDER);
    await page.locator(".runner-details > summary").click();
    await page.getByLabel("Address").fill("http://127.0.0.1:9");
    await page.getByLabel("Address").press("Tab");
    await expect(page.getByTestId("server-status")).toContainText("does not answer");
    await shot(page, "web-error");
  });
});
