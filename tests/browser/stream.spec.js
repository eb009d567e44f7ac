// Answers as servers stream them, by bytes that the tests make.

import { fakeServer } from "./fake.js";
import { CHINESE, ORDER } from "./texts.js";
import { expect, test as base } from "./page.js";

const QUESTION = "What is the order number?";

const test = base.extend({
  /** A server whose answers the test writes. Pages are those of the built-in model. */
  fake: async ({ app }, use) => {
    const server = await fakeServer({ models: ["glyph-mini"] });
    await app.useServer(server.url, "glyph-mini");
    await app.write(ORDER);
    await use(server);
    await server.stop();
  },
  /** Asks a question; the stream that the answer is written to. */
  asked: async ({ app, fake }, use) => {
    await use(async () => {
      const n = fake.questions.length;
      await app.ask(QUESTION);
      await expect.poll(() => fake.questions.length).toBe(n + 1);
      return fake.questions[n].stream;
    });
  },
});

const figures = (page) => page.getByTestId("answer-figures").first();

test("every word is shown when it comes", async ({ app, asked }) => {
  const stream = await asked();
  stream.say("The order ");
  await expect(app.answerText).toHaveText("The order");
  stream.say("number ", "is ");
  await expect(app.answerText).toHaveText("The order number is");
  await expect(app.answer).toHaveAttribute("data-busy", "true");
  stream.say("73-4815.");
  stream.finish();
  expect(await app.answered()).toBe("The order number is 73-4815.");
});

test("an answer has ended when the server says so, also where it keeps the connection", async ({
  app,
  asked,
}) => {
  const stream = await asked();
  stream.say("73-4815");
  stream.finish();
  expect(await app.answered()).toBe("73-4815");
  await expect(app.answer.getByRole("alert")).toHaveCount(0);
  await stream.closed;
});

test("an error in the middle of an answer is shown with what came, and ends the request", async ({
  app,
  asked,
}) => {
  for (const [event, reason] of [
    [{ error: { message: "the device has run out of memory" } }, "run out of memory"],
    [{ error: { code: 7 } }, "does not say why"],
    ["{", "no JSON: {"],
    // No server sends pieces of that size.
    ["x".repeat(5_000_000), "an event of more than 4 MB"],
  ]) {
    const stream = await asked();
    stream.say("The first words");
    stream.send(event);
    expect(await app.answered()).toBe("The first words");
    const alert = app.answer.getByRole("alert");
    await expect(alert).toContainText(reason);
    await expect(alert).toContainText("ask again");
    // The server need not go on.
    await stream.closed;
  }
});

test("what is wrong with an answer is told in the page's language", async ({ app, page, asked }) => {
  await page.getByLabel("Language").selectOption("zh");
  for (const [event, reason] of [
    [{ error: {} }, "服务器在回答结束之前放弃了：没有说明原因。"],
    ["Internal error", "它发来的内容不是 JSON：Internal error。"],
    ["x".repeat(5_000_000), "它发来的一个事件超过 4 MB。"],
  ]) {
    const stream = await asked();
    stream.send(event);
    await expect(app.answer.getByRole("alert")).toContainText(reason);
    await stream.closed;
  }
});

test("an answer that is no stream is told by what it is", async ({ app, page }) => {
  await app.write(ORDER);
  const answers = [
    ["text/html; charset=utf-8", "<!doctype html><title>Welcome</title>"],
    ["application/json", JSON.stringify({ choices: [{ message: { content: "73-4815" } }] })],
    // Larger than an event may be.
    ["application/octet-stream", "x".repeat(5_000_000)],
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

/** Has a server read each page of a text; returns how many there are. */
async function readAllPages(app, server) {
  await app.useServer(server.url, "glyph-mini");
  await app.write(ORDER.repeat(2));
  const pages = await app.tiles.count();
  expect(pages).toBeGreaterThan(1);
  await app.page.getByRole("button", { name: "Read all pages" }).click();
  return pages;
}

test("the thinking of every page's answer is folded away", async ({ app }) => {
  const answer = (stream, n) => {
    stream.say(`<think>about page ${n}</think>`, `read ${n}`);
    stream.finish();
  };
  const server = await fakeServer({ models: ["glyph-mini"], answer });
  try {
    const pages = await readAllPages(app, server);
    const numbers = Array.from({ length: pages }, (_, index) => index + 1);
    expect(await app.answered()).toBe(numbers.map((n) => `read ${n}`).join("\n"));
    const thinking = app.answer.locator(".thinking");
    await expect(thinking).not.toHaveAttribute("open");
    for (const n of numbers) {
      await expect(thinking.locator("p")).toContainText(`about page ${n}`);
    }
  } finally {
    await server.stop();
  }
});

test("new words change the answer to their own page alone, and that once per frame", async ({
  app,
  page,
}) => {
  const words = Array.from({ length: 200 }, (_, n) => `${n} `);
  const answer = (stream, n) => {
    if (n !== 2) {
      stream.say(`read ${n}`);
      stream.finish();
    }
  };
  const server = await fakeServer({ models: ["glyph-mini"], answer });
  try {
    const pages = await readAllPages(app, server);
    await expect.poll(() => server.questions.length).toBe(2);
    const { stream } = server.questions[1];
    stream.say("read 2: ");
    await expect(app.answerText).toContainText("read 2:");
    await app.answerText.evaluate((place) => {
      const last = place.lastElementChild;
      window.seen = { frames: 0, changes: 0, elsewhere: 0 };
      const frame = () => {
        window.seen.frames += 1;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      const observer = new MutationObserver((records) => {
        const isHere = ({ target }) => last.contains(target);
        const here = records.filter(isHere).length;
        window.seen.changes += here;
        window.seen.elsewhere += records.length - here;
      });
      observer.observe(place, { characterData: true, childList: true, subtree: true });
    });
    for (const word of words) {
      stream.say(word);
      // Each comes by itself.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await expect(app.answerText).toContainText(words.slice(-3).join("").trim());
    const seen = await page.evaluate(() => window.seen);
    expect(seen.changes).toBeGreaterThan(0);
    expect(seen.changes).toBeLessThanOrEqual(seen.frames + 1);
    expect(seen.elsewhere).toBe(0);
    stream.finish();
    const numbers = Array.from({ length: pages }, (_, index) => index + 1);
    const read = numbers.map((n) => (n === 2 ? `read 2: ${words.join("")}` : `read ${n}`));
    expect(await app.answered()).toBe(read.join("\n"));
  } finally {
    await server.stop();
  }
});

test("that one page was cut off is said, though the last one was not", async ({ app }) => {
  const answer = (stream, n) => {
    stream.say(`read ${n}`);
    stream.finish(n === 1 ? "length" : "stop");
  };
  const server = await fakeServer({ models: ["glyph-mini"], answer });
  try {
    const pages = await readAllPages(app, server);
    expect(await app.answered()).toContain(`read ${pages}`);
    await expect(app.answer).toContainText("Cut off at the longest answer or the end of the model's context");
  } finally {
    await server.stop();
  }
});

test("what came at once has no rate, and what came over time has that of its time", async ({
  app,
  page,
  asked,
}) => {
  const once = await asked();
  once.send(
    ..."73-4815".split("").map((content) => ({ choices: [{ delta: { content } }] })),
    { choices: [{ delta: {}, finish_reason: "stop" }] },
    "[DONE]",
  );
  await app.answered();
  await expect(figures(page)).toContainText("first token");
  await expect(figures(page)).not.toContainText("tokens/s");
  const slow = await asked();
  for (const word of ["one ", "two ", "three"]) {
    slow.say(word);
    await page.waitForTimeout(200);
  }
  slow.finish();
  await app.answered();
  const rate = /([\d.]+) tokens\/s/.exec(await figures(page).textContent());
  expect(Number(rate[1])).toBeGreaterThan(0);
  // Two tokens after the first in about 400 ms.
  expect(Number(rate[1])).toBeLessThan(20);
});

test("the time to the first token begins when the question is put", async ({ app, page, fake }) => {
  const WAIT_MS = 4000;
  await page.route("**/*CJK*.ttf", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    await route.continue();
  });
  await app.text.fill(CHINESE);
  await expect(app.drawing).toContainText("font");
  await app.ask(QUESTION);
  await expect.poll(() => fake.questions.length).toBe(1);
  fake.questions[0].stream.say("73-4815");
  fake.questions[0].stream.finish();
  await app.answered();
  const first = /first token ([\d.]+) s/.exec(await figures(page).textContent());
  expect(Number(first[1]) * 1000).toBeLessThan(WAIT_MS - 1000);
});

test.describe("a server that goes away", () => {
  test.use({ allowedConsole: /net::ERR_|Failed to load resource/ });

  test("in the middle of an answer leaves what came, and says so", async ({ app, asked }) => {
    const stream = await asked();
    stream.say("The first ", "words");
    await expect(app.answerText).toHaveText("The first words");
    stream.break();
    expect(await app.answered()).toBe("The first words");
    await expect(app.answer.getByRole("alert")).toContainText("The server went away");
  });
});
