// What is said when a worker, the page's program or a graphics adapter fails.

import { expect, isWorker, patch, test } from "./api.js";

test.describe("what does not come, or ends", () => {
  // Chromium's own words about what is not fetched, and about errors that nobody catches in a worker.
  test.use({ allowedConsole: /Failed to (load resource|fetch)|WebAssembly|unreachable|preload/ });

  for (const [worker, work] of [
    ["render-worker", "renderPages"],
    ["model-worker", "loadModel"],
  ]) {
    for (const [what, answer] of [
      ["cannot be fetched", (route) => route.abort()],
      ["is no program", (route) => route.fulfill({ contentType: "application/wasm", body: "no wasm" })],
    ]) {
      test(`${work}: a program that ${what} is told with its address`, async ({ api, server }) => {
        const wasm = `**/${worker}_bg.wasm`;
        await api.route(wasm, answer);
        const start = () =>
          api.evaluate(async (work) => {
            const started = {
              loadModel: async () => (await glyph.loadModel({ device: "cpu" })).close(),
              renderPages: () => glyph.renderPages("x"),
            };
            return failure(started[work]());
          }, work);
        const href = `${server.url}/${worker}_loader.js`;
        const refused = await start();
        expect(refused).toMatchObject({ code: "network", detail: href });
        expect(refused.message).toContain(`${href} cannot be started: `);
        // The next work starts another.
        await api.unroute(wasm);
        expect(await start()).toEqual({ name: "none" });
      });
    }
  }

  test("a worker that has no memory left says so", async ({ api }) => {
    await patch(
      api,
      "model-worker",
      `self.addEventListener("message", ({ data }) => {
        if (data.type === "load") {
          throw new WebAssembly.RuntimeError("unreachable");
        }
      });`,
    );
    const refused = await api.evaluate(() => failure(glyph.loadModel({ device: "cpu" })));
    expect(refused).toMatchObject({ code: "too-large", detail: "glyph-mini" });
    expect(refused.message).toContain("smaller checkpoint");
  });

  test("a font that hangs is given up, and asked for again", async ({ api }) => {
    await patch(
      api,
      "render-worker",
      `const timeout = AbortSignal.timeout;
      AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 20);`,
    );
    await api.route("**/*.ttf", () => {
      // Never answered.
    });
    const refused = await api.evaluate(() => failure(glyph.renderPages("x")));
    expect(refused.code).toBe("network");
    expect(refused.detail).toMatch(/\.ttf$/);
    await api.unroute("**/*.ttf");
    expect(await api.evaluate(async () => (await glyph.renderPages("x")).pages)).toBe(1);
  });

  test("a list of files that hangs is given up, and asked for again", async ({ api, server }) => {
    await api.evaluate(() => {
      const timeout = AbortSignal.timeout;
      AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 30);
    });
    await api.route("**/assets.json", () => {
      // Never answered.
    });
    const refused = await api.evaluate(() => failure(glyph.assets()));
    expect(refused).toMatchObject({ code: "network", detail: `${server.url}/assets.json` });
    await api.unroute("**/assets.json");
    expect(await api.evaluate(async () => (await glyph.assets()).model.name)).toBe("glyph-mini");
  });

  test("the page says in both languages that its program does not come", async ({ page, server }) => {
    await page.route("**/glyph-app-*_bg.wasm", (route) => route.abort());
    await page.goto(server.url);
    const boot = page.locator("#boot");
    await expect(boot).toContainText("The page's program could not be loaded");
    await expect(boot).toContainText("无法加载本页的程序");
    await page.unroute("**/glyph-app-*_bg.wasm");
    await page.reload();
    await expect(page.getByRole("main")).toBeVisible();
    await expect(boot).toHaveCount(0);
  });
});

test.describe("a graphics adapter that fails", () => {
  const answer = (api) =>
    api.evaluate(async () => {
      const model = await glyph.loadModel({ device: "auto" });
      const pages = await drawn("Order number: 73-4815", model);
      const options = { question: "Read the page.", pages, maxTokens: 4 };
      const { answerTokens } = await glyph.ask(model, options);
      const { device, adapter, fallbackReason } = model;
      return { answerTokens, device, adapter, fallbackReason };
    });

  test("where it gives no device, the CPU answers and says why", async ({ api }) => {
    await patch(
      api,
      "model-worker",
      `const request = GPU.prototype.requestAdapter;
      self.preferences = [];
      GPU.prototype.requestAdapter = function (options) {
        self.preferences.push(options?.powerPreference);
        return request.call(this, options);
      };
      GPUAdapter.prototype.requestDevice = () => Promise.reject(new Error("out of devices"));`,
    );
    const answered = await answer(api);
    expect(answered).toMatchObject({ answerTokens: 4, device: "cpu", adapter: null });
    expect(answered.fallbackReason).not.toBe("");
    expect(answered.fallbackReason).not.toContain("finds no graphics adapter");
    // The adapter that is named is the one that would have computed.
    const worker = api.workers().find(isWorker("model-worker"));
    const preferences = await worker.evaluate(() => self.preferences);
    expect(preferences.length).toBeGreaterThan(1);
    expect(new Set(preferences)).toEqual(new Set(["high-performance"]));
    const refused = await api.evaluate(() => failure(glyph.loadModel({ device: "webgpu" })));
    expect(refused).toMatchObject({ code: "no-webgpu", detail: answered.fallbackReason });
  });

  test("where it computes wrong numbers, the CPU answers and says so", async ({ api }) => {
    await patch(
      api,
      "model-worker",
      `GPUBuffer.prototype.getMappedRange = function (offset = 0, size = this.size - offset) {
        return new ArrayBuffer(size);
      };`,
    );
    const answered = await answer(api);
    expect(answered).toMatchObject({ answerTokens: 4, device: "cpu", adapter: null });
    expect(answered.fallbackReason).toContain("computes wrong numbers: 0 where 16 is right");
  });

  test("where it computes wrong numbers, a person reads it in Chinese", async ({ app, page }) => {
    await patch(
      page,
      "model-worker",
      `GPUBuffer.prototype.getMappedRange = function (offset = 0, size = this.size - offset) {
        return new ArrayBuffer(size);
      };`,
    );
    await page.getByLabel("Language").selectOption("zh");
    await app.useTab("auto");
    await page.getByTestId("load").click();
    const words = "WebGPU 失败，改用 CPU： 显卡计算结果错误：得到 0，应为 16";
    await expect(page.getByText(words)).toBeVisible();
  });

  test("where there is none, a person reads it in Chinese", async ({ app, page }) => {
    await patch(page, "model-worker", "GPU.prototype.requestAdapter = () => Promise.resolve(null);");
    await page.getByLabel("Language").selectOption("zh");
    await app.useTab("auto");
    await page.getByTestId("load").click();
    await expect(page.getByTestId("tab-ready")).toContainText("CPU");
    await expect(page.getByText("WebGPU 失败，改用 CPU： WebGPU 找不到显卡")).toBeVisible();
    await page.getByTestId("device").selectOption("webgpu");
    await page.getByTestId("load").click();
    await expect(page.getByTestId("tab-failed")).toContainText("无法使用 WebGPU（WebGPU 找不到显卡）");
  });
});
