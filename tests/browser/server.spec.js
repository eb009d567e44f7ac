// Questions to the server.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { hostFiles, nativeAnswer, serve } from "./glyph.js";
import { CHINESE, longText, ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

const QUESTION = "What is the order number?";

/** A server that names the models that a test wants, when it wants, and keeps the headers it was sent. */
async function standIn(answer) {
  const requests = [];
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization, content-type");
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    requests.push(request.headers);
    const send = (...names) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ data: names.map((id) => ({ id })) }));
    };
    answer(send, request.headers);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    keys: () => requests.map((headers) => headers.authorization),
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Fills a field of the server and leaves it. */
async function enter(page, label, value) {
  const field = page.getByLabel(label, { exact: true });
  await field.fill(value);
  await field.press("Tab");
}

const openServerFields = (page) => page.locator(".runner-details > summary").click();

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

test("an answer that is no stream is told by what it is", async ({ app, page }) => {
  await app.write(ORDER);
  const answers = [
    ["text/html; charset=utf-8", "<!doctype html><title>Welcome</title>"],
    ["application/json", JSON.stringify({ choices: [{ message: { content: "73-4815" } }] })],
  ];
  for (const [contentType, body] of answers) {
    await page.route("**/v1/chat/completions", (route) => route.fulfill({ contentType, body }));
    await app.ask(QUESTION);
    const alert = page.getByTestId("answer").first().getByRole("alert");
    await expect(alert).toContainText(contentType);
    await expect(alert).toContainText("stream");
    await expect(alert).not.toContainText("went away");
    await page.unroute("**/v1/chat/completions");
  }
});

test("a key goes to the address that it was entered for, and to no other", async ({ app, page }) => {
  const [one, other] = await Promise.all(
    ["of-one", "of-other"].map((name) => standIn((send) => send(name))),
  );
  try {
    await openServerFields(page);
    await enter(page, "Address", one.url);
    await expect(page.locator("summary", { hasText: "of-one" })).toBeVisible();
    await enter(page, "API key", "key-of-one");
    await expect.poll(() => one.keys()).toEqual([undefined, "Bearer key-of-one"]);
    await enter(page, "Address", other.url);
    await expect(page.locator("summary", { hasText: "of-other" })).toBeVisible();
    await expect(page.getByLabel("API key", { exact: true })).toHaveValue("");
    // Its tokens are asked for as well.
    await app.text.fill(ORDER);
    await expect(page.getByTestId("uncounted")).toBeVisible();
    expect(other.requests.length).toBeGreaterThan(1);
    expect(other.keys().filter(Boolean)).toEqual([]);
    // Also after a reload, and it is still there for the first.
    await page.reload();
    await openServerFields(page);
    await expect(page.locator("summary", { hasText: "of-other" })).toBeVisible();
    expect(other.keys().filter(Boolean)).toEqual([]);
    await enter(page, "Address", `${one.url}/v1`);
    await expect(page.getByLabel("API key", { exact: true })).toHaveValue("key-of-one");
    await expect(page.locator("summary", { hasText: "of-one" })).toBeVisible();
    expect(one.keys().at(-1)).toBe("Bearer key-of-one");
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});

test("a late reply about an old key does not replace the newer one", async ({ app, page }) => {
  let sendLate;
  const server = await standIn((send, { authorization }) => {
    if (authorization) {
      send("of-the-key");
    } else {
      sendLate = () => send("of-no-key");
    }
  });
  try {
    await openServerFields(page);
    await enter(page, "Address", server.url);
    await expect.poll(() => sendLate).toBeDefined();
    await enter(page, "API key", "a-key");
    await expect(page.locator("summary", { hasText: "of-the-key" })).toBeVisible();
    const late = page.waitForEvent("requestfinished", (request) => request.method() === "GET");
    sendLate();
    await late;
    // The page has time to read it.
    await page.waitForTimeout(300);
    await expect(page.locator("summary", { hasText: "of-the-key" })).toBeVisible();
    await expect(page.locator("summary", { hasText: "of-no-key" })).toHaveCount(0);
  } finally {
    await server.stop();
  }
});

test("an address without a scheme is completed, and what is none is refused", async ({ app, page }) => {
  const server = await standIn((send) => send("of-the-test"));
  const status = page.getByTestId("server-status");
  try {
    await openServerFields(page);
    await enter(page, "Address", `127.0.0.1:${server.port}`);
    await expect(page.getByLabel("Address", { exact: true })).toHaveValue(server.url);
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    for (const entered of ["nonsense here", "http://[", "ftp://127.0.0.1"]) {
      await enter(page, "Address", entered);
      await expect(status).toContainText(`“${entered}” is not the address of a server`);
      await expect(status).toContainText("http://localhost:8080");
      await expect(page.getByLabel("Address", { exact: true })).toHaveValue(entered);
      await expect(page.getByLabel("API key", { exact: true })).toBeDisabled();
    }
    await page.getByLabel("Language").selectOption("zh");
    await page.getByRole("button", { name: "重试" }).click();
    await expect(status).toContainText("不是服务器的地址");
    expect(asked).toEqual([]);
  } finally {
    await server.stop();
  }
});

test("a key that no header can carry is refused before it is sent", async ({ app, page }) => {
  const server = await standIn((send) => send("of-the-test"));
  try {
    await openServerFields(page);
    await enter(page, "Address", server.url);
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    const before = server.requests.length;
    await enter(page, "API key", "sk\u200b-0123");
    await expect(page.getByTestId("server-status")).toContainText("U+200B");
    expect(server.requests).toHaveLength(before);
    await enter(page, "API key", "sk-0123");
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    expect(server.keys().at(-1)).toBe("Bearer sk-0123");
  } finally {
    await server.stop();
  }
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

test("the longest answer stays within its limits", async ({ app, page }) => {
  const field = page.getByTestId("max-tokens");
  for (const [entered, kept] of [["-5", "1"], ["0", "1"], ["999999", "131072"], ["", "1024"]]) {
    await field.fill(entered);
    await field.press("Tab");
    await expect(page.getByTestId("max-tokens")).toHaveValue(kept);
  }
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
