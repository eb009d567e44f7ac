// The model in the tab, on WebGPU.

import { failCounting } from "./api.js";
import { AS_IN_A_TAB, nativeAnswer } from "./glyph.js";
import { ORDER } from "./texts.js";
import { expect, test } from "./page.js";

const QUESTION = "Read the page.";
const TEXT = ORDER.split("\n").slice(0, 4).join("\n");
// A software adapter takes about a second for a token.
const FEW_TOKENS = 24;

test("on WebGPU it answers as the native CPU does", async ({ app, page }) => {
  test.setTimeout(1_500_000);
  await app.write(TEXT);
  await app.useTab("webgpu");
  await app.ask(QUESTION, FEW_TOKENS);
  const answer = await app.answered(1_200_000);
  const native = await nativeAnswer(TEXT, QUESTION, FEW_TOKENS, ...AS_IN_A_TAB);
  expect(answer).not.toBe("");
  expect(answer).toBe(native.answer);
  // The software adapter's own name.
  await expect(page.getByTestId("tab-ready")).toContainText(/WebGPU · .*SwiftShader/i);
  await expect(page.getByTestId("answer-figures").first()).toContainText("WebGPU");
});

test("after it has ended on WebGPU the CPU takes over and says so, until the person loads it", async ({
  app,
  page,
}) => {
  test.setTimeout(1_500_000);
  const ready = page.getByTestId("tab-ready");
  await app.write(TEXT);
  await app.useTab("auto");
  await page.getByTestId("load").click();
  await expect(ready).toContainText("WebGPU", { timeout: 600_000 });
  await app.ask(QUESTION, FEW_TOKENS);
  await expect(page.getByTestId("answer-status").first()).toContainText(/Looking at|Reading/);
  const worker = page.workers().find((one) => one.url().includes("model-worker"));
  await worker.evaluate(() => setTimeout(() => { throw new Error("the device is lost"); }));
  await app.answered();
  await expect(app.answer.getByRole("alert")).toContainText("the device is lost");
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
  await expect(ready).toContainText("Ready on CPU");
  const fallback = page.getByTestId("tab-status").getByText("so the CPU took over");
  await expect(fallback).toContainText("the device is lost");
  await page.getByRole("button", { name: "Unload" }).click();
  await page.getByTestId("load").click();
  await expect(ready).toContainText("WebGPU", { timeout: 600_000 });
  await expect(fallback).toHaveCount(0);
});

test("what ends it while it counts tokens is no failure of WebGPU", async ({ app, page }) => {
  test.setTimeout(1_500_000);
  const ready = page.getByTestId("tab-ready");
  await failCounting(page);
  // Its pages are the same with every model, so the question does not wait for others.
  await page.getByText("Official Glyph").click();
  await app.write(TEXT);
  await app.useTab("auto");
  // The page counts the tokens of the built-in model itself.
  await page.getByTestId("folder").setInputFiles("../../models/glyph-mini");
  // Asked before it is there, it has the question already when it is to count.
  await app.ask(QUESTION, FEW_TOKENS);
  await app.answered(600_000);
  await expect(app.answer.getByRole("alert")).toContainText("out of memory");
  await expect(page.getByTestId("tab-failed")).toBeVisible();
  await app.ask(QUESTION, FEW_TOKENS);
  await expect(ready).toContainText("WebGPU", { timeout: 600_000 });
  await expect(page.getByTestId("tab-status").getByText("so the CPU took over")).toHaveCount(0);
  // Longer than the page waits before it has a text counted: this one is not counted again.
  await page.waitForTimeout(1500);
  await expect(ready).toBeVisible();
});
