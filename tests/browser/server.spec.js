// Questions to the server of this project.

import { readFile } from "node:fs/promises";
import { nativeAnswer, serve } from "./glyph.js";
import { CHINESE, longText, ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

const QUESTION = "What is the order number?";

test("an answer is streamed and is that of the native program", async ({ app, page }) => {
  await app.write(ORDER);
  await app.ask(QUESTION, 200);
  const answer = await app.answered();
  const native = await nativeAnswer(ORDER, QUESTION, 200);
  expect(answer).not.toBe("");
  expect(answer).toBe(native.answer);
  const figures = page.getByTestId("answer-figures").first();
  await expect(figures).toContainText(`${native.answer_tokens} tokens`);
  await expect(figures).toContainText("first token");
});

test("an answer grows while it comes", async ({ app, page }) => {
  await app.write(ORDER);
  await page.evaluate(() => {
    const lengths = new Set();
    window.lengthsOfAnswer = lengths;
    const look = () => {
      const answer = document.querySelector("[data-testid=answer]");
      if (answer?.dataset.busy === "true") {
        lengths.add(answer.querySelector("[data-testid=answer-text]").textContent.length);
      }
    };
    const all = { attributes: true, characterData: true, childList: true, subtree: true };
    new MutationObserver(look).observe(document.body, all);
  });
  // One prompt, so what grows is its answer.
  await app.ask("Read the page.", 200);
  const answer = await app.answered();
  const lengths = await page.evaluate(() => [...window.lengthsOfAnswer]);
  const steps = lengths.filter((length) => length > 0 && length < answer.length);
  expect(steps.length).toBeGreaterThanOrEqual(2);
});

test("all pages are read one by one", async ({ app, page }) => {
  await app.write(ORDER);
  const pages = await app.tiles.count();
  const requests = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/chat/completions")) {
      requests.push(request.postDataJSON());
    }
  });
  await page.getByRole("button", { name: "Read all pages" }).click();
  expect((await app.answered()).length).toBeGreaterThan(0);
  expect(requests).toHaveLength(pages);
  for (const { messages } of requests) {
    const kinds = messages[0].content.map((part) => part.type);
    expect(kinds).toEqual(["image_url", "text"]);
  }
});

test("who asks while pages are being drawn asks about all of them", async ({ app, page }) => {
  await app.write(ORDER);
  const sent = page.waitForRequest((request) => request.url().endsWith("/v1/chat/completions"));
  await app.text.fill(longText(4000));
  await app.ask(QUESTION, 4);
  const { messages } = (await sent).postDataJSON();
  const images = messages[0].content.filter((part) => part.type === "image_url");
  await app.answered();
  await expect(app.figure("pages")).toHaveText(String(images.length));
  expect(images.length).toBeGreaterThan(4);
});

test("an answer can be stopped", async ({ app, page }) => {
  await app.write(longText(8000));
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
});

test("pages and conversation can be kept as files", async ({ app, page }) => {
  await app.write(ORDER);
  await app.ask(QUESTION, 200);
  const answer = await app.answered();
  expect(answer).not.toBe("");
  const [archive] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download pages" }).click(),
  ]);
  expect(archive.suggestedFilename()).toBe("pages.zip");
  const zip = await readFile(await archive.path());
  expect(zip.subarray(0, 4).toString("latin1")).toBe("PK\u0003\u0004");
  expect(zip.includes("page_0001.png")).toBe(true);
  expect(zip.includes((await app.pngFiles())[0])).toBe(true);
  const [record] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download conversation" }).click(),
  ]);
  const conversation = JSON.parse(await readFile(await record.path(), "utf8"));
  expect(conversation.exchanges).toHaveLength(1);
  expect(conversation.exchanges[0]).toMatchObject({ question: QUESTION, answer, model: "glyph-mini" });
});

test("more pages than the server takes are told before they are sent", async ({ app, page }) => {
  await app.write(longText(30_000));
  await expect(page.getByTestId("limit")).toContainText("--max-pages");
});

test("who writes Chinese to glyph-mini is told that it reads English", async ({ app, page }) => {
  const note = page.getByTestId("unread");
  await app.write(ORDER);
  await app.question.fill(QUESTION);
  await expect(note).toHaveCount(0);
  await app.question.fill("订单号是多少？");
  await expect(note).toContainText("English");
  await app.question.fill(QUESTION);
  await expect(note).toHaveCount(0);
  await app.write(CHINESE);
  await expect(note).toBeVisible();
});

test("who asks glyph-mini about more pages than it was trained on is told", async ({ app, page }) => {
  const note = page.getByTestId("many-pages");
  await app.write(longText(12_000));
  await expect(note).toContainText("nine pages");
  await app.write(ORDER);
  await expect(note).toHaveCount(0);
});

test("the longest answer stays within its limits", async ({ app, page }) => {
  const field = page.getByTestId("max-tokens");
  for (const [entered, kept] of [["-5", "1"], ["0", "1"], ["999999", "131072"], ["", "1024"]]) {
    await field.fill(entered);
    await field.press("Tab");
    await expect(page.getByTestId("max-tokens")).toHaveValue(kept);
  }
});

test.describe("a server that goes away", () => {
  test.use({ allowedConsole: /net::ERR_|Failed to load resource/ });

  test("between pages or in the middle of one leaves what came, and a reason", async ({ page }) => {
    const server = await serve();
    await page.goto(server.url);
    const app = new App(page);
    await app.write(longText(12_000));
    await page.getByRole("button", { name: "Read all pages" }).click();
    await expect(app.answerText).not.toBeEmpty();
    const came = await app.answerText.textContent();
    await server.stop("SIGKILL");
    const kept = await app.answered();
    expect(kept.startsWith(came)).toBe(true);
    await expect(app.answer.getByRole("alert")).toContainText(/went away|does not answer/);
  });
});
