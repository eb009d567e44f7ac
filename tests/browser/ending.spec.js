// How work of the JavaScript API is ended, and what goes on all the same.

import { expect, isWorker, test } from "./api.js";
import { holdBack } from "./page.js";
import { CHINESE, ORDER } from "./texts.js";

test("a signal that has ended the work before it began is heeded", async ({ api }) => {
  const names = await api.evaluate(async () => {
    const signal = AbortSignal.abort("a reason of one's own");
    const works = [
      glyph.loadModel({ device: "cpu", signal }),
      glyph.renderPages("x", { signal }),
      glyph.decodeText(new Blob(["x"]), { signal }),
      glyph.zip([], { signal }),
    ];
    return Promise.all(works.map(async (work) => (await failure(work)).name));
  });
  expect(names).toEqual(["AbortError", "AbortError", "AbortError", "AbortError"]);
  expect(api.workers()).toEqual([]);
});

test("an answer ends with what there is of it, and with an error where it was not asked for yet", async ({ api }) => {
  const { names, answer } = await api.evaluate(async (text) => {
    const model = await glyph.loadModel({ device: "cpu" });
    const pages = await drawn(text, model);
    const ask = (options) => glyph.ask(model, { question: "Read the page.", pages, ...options });
    const straight = new AbortController();
    const unasked = [
      failure(ask({ signal: AbortSignal.abort("a reason of one's own") })),
      failure(ask({ signal: straight.signal })),
    ];
    straight.abort();
    const names = (await Promise.all(unasked)).map(({ name }) => name);
    const later = new AbortController();
    const answer = await ask({ onToken: () => later.abort(), signal: later.signal });
    model.close();
    return { names, answer };
  }, ORDER);
  expect(names).toEqual(["AbortError", "AbortError"]);
  expect(answer.finishReason).toBe("cancelled");
  expect(answer.text).not.toBe("");
});

for (const [held, work] of [
  ["**/assets.json", "loadModel"],
  ["**/assets.json", "renderPages"],
  ["**/render-worker_bg.wasm", "renderPages"],
  ["**/model-worker_bg.wasm", "loadModel"],
]) {
  test(`nothing that is fetched is waited for any more: ${work}, ${held}`, async ({ api }) => {
    const asked = api.waitForRequest(held, { timeout: 120_000 });
    await api.route(held, () => {
      // Never answered.
    });
    await api.evaluate((work) => {
      window.abort = new AbortController();
      const { signal } = window.abort;
      const started = {
        loadModel: () => glyph.loadModel({ device: "cpu", signal }),
        renderPages: () => glyph.renderPages("x", { signal }),
      };
      window.ended = failure(started[work]());
    }, work);
    await asked;
    const { name } = await api.evaluate(() => {
      window.abort.abort();
      return window.ended;
    });
    expect(name).toBe("AbortError");
  });
}

test("a drawing that waits for a font ends at once, and another one is drawn", async ({ api }) => {
  await api.route(/CJK[^/]*\.ttf$/, () => {
    // Never answered.
  });
  const { name, pages } = await api.evaluate(async (text) => {
    const abort = new AbortController();
    const onProgress = ({ stage }) => stage === "font" && abort.abort();
    const { name } = await failure(glyph.renderPages(text, { onProgress, signal: abort.signal }));
    const { pages } = await glyph.renderPages("Plain English.");
    return { name, pages };
  }, CHINESE);
  expect(name).toBe("AbortError");
  expect(pages).toBe(1);
});

test("who closes a model straight after a question gets an AbortError", async ({ api }) => {
  const { asked, later, isClosed } = await api.evaluate(async () => {
    const model = await glyph.loadModel({ device: "cpu" });
    const asked = failure(glyph.ask(model, { question: "Read the page.", pages: [] }));
    model.close();
    const later = await failure(model.countTokens("x"));
    return { asked: await asked, later, isClosed: model.isClosed };
  });
  expect(asked.name).toBe("AbortError");
  expect(later.name).toBe("AbortError");
  expect(isClosed).toBe(true);
});

test("a message that cannot be sent and a function that throws end their work alone", async ({ api }) => {
  const ended = await api.evaluate(async (text) => {
    const unsent = await failure(glyph.zip([["page.png", () => {}]]));
    const onPages = () => {
      throw new Error("no room for pages");
    };
    const thrown = await failure(glyph.renderPages(text, { onPages }));
    const { pages } = await glyph.renderPages(text);
    return { unsent, thrown, pages };
  }, ORDER);
  expect(ended.unsent.name).toBe("DataCloneError");
  expect(ended.thrown.message).toBe("no room for pages");
  expect(ended.pages).toBeGreaterThan(0);
});

test("an archive tells how far it is, and can be ended", async ({ api }) => {
  const { steps, name, bytes } = await api.evaluate(async () => {
    const entries = (count) => {
      const blob = new Blob(["x".repeat(1000)]);
      return Array.from({ length: count }, (_, index) => [`${index}.txt`, blob]);
    };
    const abort = new AbortController();
    const steps = [];
    const onProgress = (step) => {
      steps.push(step);
      abort.abort();
    };
    const { name } = await failure(glyph.zip(entries(20_000), { onProgress, signal: abort.signal }));
    const archive = await glyph.zip(entries(3));
    return { steps, name, bytes: archive.size };
  });
  expect(name).toBe("AbortError");
  expect(steps).toHaveLength(1);
  expect(steps[0].of).toBe(20_000);
  expect(steps[0].done).toBeLessThan(20_000);
  expect(bytes).toBeGreaterThan(3000);
});

test("the renderer can be closed, and the next drawing starts another", async ({ api }) => {
  const draw = () => api.evaluate(async () => (await glyph.renderPages("x")).pages);
  expect(await draw()).toBe(1);
  expect(api.workers().filter(isWorker("render-worker"))).toHaveLength(1);
  await api.evaluate(() => glyph.closeRenderer());
  await expect.poll(() => api.workers().length).toBe(0);
  expect(await draw()).toBe(1);
});

test("a drawing that waits for the list of fonts ends with the renderer", async ({ api }) => {
  const listing = await holdBack(api, "**/assets.json");
  await api.evaluate(() => {
    window.ended = failure(glyph.renderPages("x"));
  });
  await expect.poll(() => listing.requests).toHaveLength(1);
  const { name } = await api.evaluate(() => {
    glyph.closeRenderer();
    return window.ended;
  });
  expect(name).toBe("AbortError");
  listing.letGo();
  await api.evaluate(() => glyph.assets());
  await expect.poll(() => api.workers().length).toBe(0);
  expect(await api.evaluate(async () => (await glyph.renderPages("x")).pages)).toBe(1);
});

test("what a worker says after its end does not end the next one", async ({ api }) => {
  const { workers, pages } = await api.evaluate(async (text) => {
    const workers = [];
    window.Worker = class extends Worker {
      constructor(...options) {
        super(...options);
        workers.push(this);
      }
    };
    await glyph.renderPages("x");
    glyph.closeRenderer();
    const drawn = glyph.renderPages(text);
    const data = { type: "crashed", body: { message: "too late" } };
    workers[0].dispatchEvent(new MessageEvent("message", { data }));
    workers[0].dispatchEvent(new ErrorEvent("error", { message: "too late", cancelable: true }));
    const { pages } = await drawn;
    return { workers: workers.length, pages };
  }, ORDER);
  expect(workers).toBe(2);
  expect(pages).toBeGreaterThan(0);
});
