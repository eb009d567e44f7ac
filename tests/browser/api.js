// The JavaScript API in a page that is not the application.

import { expect, test as base } from "./page.js";

export { expect };

export const test = base.extend({
  /** A page that has `glyph`, `failure`, which says how a promise was rejected, and `drawn`, a text's pages for a model. */
  api: async ({ page, server }, use) => {
    await page.goto(`${server.url}/example.html`);
    await page.evaluate(async () => {
      window.glyph = await import(new URL("glyph.js", document.baseURI).href);
      window.failure = (promise) =>
        promise.then(
          () => ({ name: "none" }),
          ({ name, message, code, detail }) => ({ name, message, code, detail }),
        );
      window.drawn = async (text, { style, rules }) => {
        const pages = [];
        await glyph.renderPages(text, {
          style,
          rules,
          onPages: (more) => pages.push(...more.map((page) => page.blob)),
        });
        return pages;
      };
    });
    await use(page);
  },
});

/** Has a worker run a script first. */
export const patch = (page, worker, script) =>
  page.route(`**/${worker}_loader.js`, async (route) => {
    const loader = await (await route.fetch()).text();
    const headers = {
      "content-type": "text/javascript",
      // Without it, a page that is isolated does not start a worker.
      "cross-origin-embedder-policy": "require-corp",
    };
    return route.fulfill({ headers, body: `${script}\n${loader}` });
  });

/** Has the model's worker end whenever it is to count tokens. */
export const failCounting = (page) =>
  patch(
    page,
    "model-worker",
    `self.addEventListener("message", (event) => {
      if (event.data.type === "countTokens") {
        event.stopImmediatePropagation();
        setTimeout(() => { throw new Error("out of memory"); });
      }
    });`,
  );

export const isWorker = (name) => (worker) => worker.url().includes(name);
