// Questions to the server.

import { readFile } from "node:fs/promises";
import { hostFiles, nativeAnswer, serve } from "./glyph.js";
import { longText, ORDER } from "./texts.js";
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

test("an error in the middle of an answer is shown with what came", async ({ app, page }) => {
  const events = [
    { choices: [{ delta: { content: "The first words" } }] },
    { error: { message: "the device has run out of memory" } },
  ];
  // A server that runs fails in no way that a test could bring about, so its bytes are made here.
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({
      contentType: "text/event-stream",
      body: events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""),
    }),
  );
  await app.write(ORDER);
  await app.ask(QUESTION);
  expect(await app.answered()).toBe("The first words");
  const alert = app.answer.getByRole("alert");
  await expect(alert).toContainText("the device has run out of memory");
  await expect(alert).toContainText("ask again");
});

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

test.describe("a host of files alone", () => {
  test.use({ allowedConsole: /status of 404/ });

  test("is no server, and says so when it is chosen", async ({ page }) => {
    const host = await hostFiles();
    try {
      await page.goto(host.url);
      await expect(page.getByLabel("This browser")).toBeChecked();
      await page.getByText("Server", { exact: true }).click();
      await expect(page.getByTestId("server-status")).toContainText("has no /v1/models");
      await expect(page.getByTestId("server-status")).toContainText("in this browser");
    } finally {
      await host.stop();
    }
  });
});

test.describe("a server that wants a key", () => {
  test.use({ allowedConsole: /status of 401/ });

  test("says so, and answers with it", async ({ page }) => {
    const server = await serve("--api-key", "secret-of-the-test");
    try {
      await page.goto(server.url);
      await expect(page.getByTestId("server-status")).toContainText("wants a key");
      await page.locator(".runner-details > summary").click();
      await page.getByLabel("API key").fill("secret-of-the-test");
      await page.getByLabel("API key").press("Tab");
      await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
      const app = new App(page);
      await app.write(ORDER);
      await app.ask(QUESTION);
      expect((await app.answered()).length).toBeGreaterThan(0);
      const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }));
      expect(kept).not.toContain("secret-of-the-test");
    } finally {
      await server.stop();
    }
  });
});

test.describe("a server that goes away", () => {
  test.use({ allowedConsole: /net::ERR_|Failed to load resource/ });

  test("in the middle of an answer leaves what came, and a reason", async ({ page }) => {
    const server = await serve();
    await page.goto(server.url);
    const app = new App(page);
    await app.write(longText(12_000));
    await page.getByRole("button", { name: "Read all pages" }).click();
    await expect(app.answerText).not.toBeEmpty();
    await server.stop("SIGKILL");
    await app.answered();
    const alert = app.answer.getByRole("alert");
    await expect(alert).toContainText(/went away|does not answer/);
    await expect(app.answerText).not.toBeEmpty();
  });

  test("is reported with what to do", async ({ app, page }) => {
    await page.locator(".runner-details > summary").click();
    await page.getByLabel("Address").fill("http://127.0.0.1:9");
    await page.getByLabel("Address").press("Tab");
    await expect(page.getByTestId("server-status")).toContainText("does not answer");
    await expect(page.getByTestId("server-status")).toContainText("cargo xtask serve");
  });
});
