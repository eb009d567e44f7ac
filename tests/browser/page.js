// What every test has: the page, its server, and a console without a word.

import { test as base, expect } from "@playwright/test";
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
      expect(unexpected, "the console has errors or warnings").toEqual([]);
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
    await idle(this.page.locator("#pages"), "aria-busy");
    await expect(this.figure("compression")).toContainText("×");
  }

  async write(text) {
    await this.text.fill(text);
    // What is shown of the text follows at once; drawing has then begun.
    await expect(this.figure("characters")).toHaveText([...text].length.toLocaleString("en"));
    await this.drawn();
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
