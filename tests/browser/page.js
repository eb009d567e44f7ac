// What every test has: the page, its server, and a console without a word.

import { test as base, expect } from "@playwright/test";
import { CONSOLE_IS_NOT_QUIET } from "./browser.js";
import { serve } from "./glyph.js";

export { expect };

export const test = base.extend({
  /** A server for all tests of a file. */
  server: [
    async ({}, use) => {
      const server = await serve();
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  /** Console messages that a test expects, such as the browser's own about a server that is gone. */
  allowedConsole: [null, { option: true }],
  consoleMessages: [
    async ({ page, allowedConsole }, use) => {
      const messages = [];
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) {
          messages.push(`${message.type()}: ${message.text()}`);
        }
      });
      page.on("pageerror", (error) => messages.push(`uncaught: ${error.message}`));
      await use(messages);
      const unexpected = messages.filter((message) => !allowedConsole?.test(message));
      expect(unexpected, CONSOLE_IS_NOT_QUIET).toEqual([]);
    },
    { auto: true },
  ],
  /** The page with the server's model at hand. */
  app: async ({ page, server }, use) => {
    await page.goto(server.url);
    await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
    await use(new App(page));
  },
});

/** Waits until a part of the page does not change any more, which an attribute of it says. */
const idle = (locator, attribute, timeout) =>
  expect(locator).not.toHaveAttribute(attribute, /^(true)?$/, { timeout });

/** Holds back what is fetched from such addresses, until it is let go. */
export async function holdBack(page, addresses) {
  const requests = [];
  let letGo;
  const released = new Promise((resolve) => (letGo = resolve));
  await page.route(addresses, async (route) => {
    requests.push(route.request().url());
    await released;
    await route.continue();
  });
  return { requests, letGo };
}

/** Has the server answer with these pieces; a model that thinks is too large for a test. */
export async function answerWith(page, ...deltas) {
  const pieces = [...deltas.map((delta) => ({ delta })), { delta: {}, finish_reason: "stop" }];
  const events = pieces.map((choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`);
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: `${events.join("")}data: [DONE]\n\n` }),
  );
}

/** A number of bytes as the page writes it. */
export function bytesShown(bytes) {
  if (bytes < 1000) {
    return `${bytes} B`;
  }
  let value = bytes / 1000;
  let unit = 0;
  for (; value >= 999.95 && unit < 3; unit += 1) {
    value /= 1000;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${["KB", "MB", "GB", "TB"][unit]}`;
}

/** The page by what a person sees of it. */
export class App {
  constructor(page) {
    this.page = page;
    this.text = page.getByLabel(/^(The text to read|要阅读的文本)$/);
    this.question = page.getByLabel(/^(Question about the pages|关于页面的问题)$/);
    this.tiles = page.getByTestId("gallery").getByRole("button");
    this.drawing = page.getByTestId("drawing");
    this.answer = page.getByTestId("answer").first();
    this.answerText = page.getByTestId("answer-text").first();
  }

  figure(name) {
    return this.page.getByTestId(`figure-${name}`);
  }

  /** Waits until all pages of a text are there. */
  async drawn() {
    await expect(this.page.getByTestId("reading")).toHaveCount(0);
    await idle(this.page.locator("#pages"), "aria-busy");
    await expect(this.figure("compression")).toContainText("×");
  }

  async write(text) {
    await this.text.fill(text);
    // What is shown of the text follows at once; drawing has then begun.
    await expect(this.figure("characters")).toHaveText([...text].length.toLocaleString("en"));
    await this.drawn();
  }

  /** Waits until a page can be seen while more are being drawn, and presses a button then, if one is named. */
  async amidDrawing(selector) {
    await this.page.waitForFunction((selector) => {
      const isBusy = document.querySelector("#pages").getAttribute("aria-busy") === "true";
      const isSeen = document.querySelector("[data-testid=gallery] img") !== null;
      const element = selector && document.querySelector(selector);
      if (isBusy && isSeen) {
        element?.click();
      }
      return isBusy && isSeen;
    }, selector);
  }

  /** Pastes into the text; says whether the page took that from the browser. */
  async paste(text) {
    await this.text.focus();
    return this.text.evaluate((field, pasted) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", pasted);
      const options = { clipboardData, bubbles: true, cancelable: true };
      return !field.dispatchEvent(new ClipboardEvent("paste", options));
    }, text);
  }

  async openFile(name, buffer) {
    await this.page
      .getByTestId("file")
      .setInputFiles({ name, mimeType: "text/plain", buffer: Buffer.from(buffer) });
  }

  async ask(question, maxTokens) {
    if (maxTokens) {
      const field = this.page.getByTestId("max-tokens");
      await field.fill(String(maxTokens));
      await field.press("Tab");
    }
    await this.question.fill(question);
    await this.page.getByTestId("ask").click();
  }

  /** Waits for the end of the newest answer and returns its text. */
  async answered(timeout = 300_000) {
    await idle(this.answer, "data-busy", timeout);
    return this.answerText.textContent();
  }

  /** Fills a field of the server and leaves it. */
  async enter(label, value) {
    const field = this.page.getByLabel(label, { exact: true });
    await field.fill(value);
    await field.press("Tab");
  }

  /** Shows address, key and models of the server. */
  async openServerFields() {
    await this.page.locator(".runner-details > summary").click();
  }

  /** Asks a server at an address from now on; `model` is its first. */
  async useServer(url, model) {
    await this.openServerFields();
    await this.enter("Address", url);
    await expect(this.page.locator("summary", { hasText: url })).toContainText(model);
  }

  /** Chooses the model in this tab, on a device. */
  async useTab(device) {
    await this.page.getByText(/^(This browser|本浏览器)$/).click();
    await this.page.locator(".runner-details > summary").click();
    await this.page.getByTestId("device").selectOption(device);
  }

  /** The PNG files of all pages that are shown. */
  async pngFiles() {
    const bytes = await this.tiles.locator("img").evaluateAll((images) =>
      Promise.all(
        images.map(async (image) => {
          const response = await fetch(image.src);
          return [...new Uint8Array(await response.arrayBuffer())];
        }),
      ),
    );
    return bytes.map((file) => Buffer.from(file));
  }
}
