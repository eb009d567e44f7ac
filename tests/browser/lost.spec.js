// A graphics device that is lost, in a browser of its own: whatever else used the GPU's process would wait for it.

import { expect, patch, test } from "./api.js";
import { browserArguments } from "./browser.js";

test.use({
  launchOptions: async ({ launchOptions }, use) => {
    await use({ ...launchOptions, args: [...browserArguments({ webgpu: true }), "--no-default-browser-check"] });
  },
  // Chromium's own words about a device that is lost.
  allowedConsole: /device|WebGPU|Instance|lost/i,
});

test("a graphics device that is lost in an answer ends the worker, and the model must be loaded again", async ({ api }) => {
  // A software adapter takes minutes to compile all kernels.
  test.setTimeout(1_500_000);
  await patch(
    api,
    "model-worker",
    `const request = GPUAdapter.prototype.requestDevice;
    const devices = [];
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      const device = await request.call(this, descriptor);
      devices.push(device);
      return device;
    };
    const post = self.postMessage;
    self.postMessage = (message, transfer) => {
      post.call(self, message, transfer);
      if (message.type === "token") {
        devices.forEach((device) => device.destroy());
      }
    };`,
  );
  const { device, asked, isClosed, later } = await api.evaluate(async () => {
    const model = await glyph.loadModel({ device: "webgpu" });
    const pages = await drawn("73", model);
    const asked = await failure(glyph.ask(model, { question: "Read the page.", pages, maxTokens: 8 }));
    const { device, isClosed } = model;
    return { device, asked, isClosed, later: await failure(model.countTokens("x")) };
  });
  expect(device).toBe("webgpu");
  expect(asked).toMatchObject({ name: "Error", code: "device" });
  expect(asked.message).toContain("the graphics device failed");
  expect(isClosed).toBe(true);
  expect(later).toEqual(asked);
});
