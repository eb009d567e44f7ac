// The model in the tab, on WebGPU.

import { nativeAnswer } from "./glyph.js";
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
  const native = await nativeAnswer(TEXT, QUESTION, FEW_TOKENS);
  expect(answer).not.toBe("");
  expect(answer).toBe(native.answer);
  await expect(page.getByTestId("tab-ready")).toContainText("WebGPU");
  await expect(page.getByTestId("answer-figures").first()).toContainText("WebGPU");
});
