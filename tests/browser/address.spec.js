// Which server is asked: its address, its key, its models.

import { stat } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { join } from "node:path";
import { fakeServer, standIn } from "./fake.js";
import { dist, hostFiles, serve } from "./glyph.js";
import { ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

const QUESTION = "What is the order number?";

test("a key goes to the address that it was entered for, and to no other", async ({ app, page }) => {
  const [one, other] = await Promise.all(
    ["of-one", "of-other"].map((name) => standIn((send) => send(name))),
  );
  try {
    await app.openServerFields();
    await app.enter("Address", one.url);
    await expect(page.locator("summary", { hasText: "of-one" })).toBeVisible();
    await app.enter("API key", "key-of-one");
    await expect.poll(() => one.keys()).toEqual([undefined, "Bearer key-of-one"]);
    await app.enter("Address", other.url);
    await expect(page.locator("summary", { hasText: "of-other" })).toBeVisible();
    await expect(page.getByLabel("API key", { exact: true })).toHaveValue("");
    // Its tokens are asked for as well.
    await app.text.fill(ORDER);
    await expect(page.getByTestId("uncounted")).toBeVisible();
    expect(other.requests.length).toBeGreaterThan(1);
    expect(other.keys().filter(Boolean)).toEqual([]);
    // Also after a reload, and it is still there for the first.
    await page.reload();
    await app.openServerFields();
    await expect(page.locator("summary", { hasText: "of-other" })).toBeVisible();
    expect(other.keys().filter(Boolean)).toEqual([]);
    await app.enter("Address", `${one.url}/v1`);
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
    await app.openServerFields();
    await app.enter("Address", server.url);
    await expect.poll(() => sendLate).toBeDefined();
    await app.enter("API key", "a-key");
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
    await app.openServerFields();
    await app.enter("Address", `127.0.0.1:${server.port}`);
    await expect(page.getByLabel("Address", { exact: true })).toHaveValue(server.url);
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    for (const entered of ["nonsense here", "http://[", "ftp://127.0.0.1"]) {
      await app.enter("Address", entered);
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
    await app.openServerFields();
    await app.enter("Address", server.url);
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    const before = server.requests.length;
    await app.enter("API key", "sk\u200b-0123");
    await expect(page.getByTestId("server-status")).toContainText("U+200B");
    expect(server.requests).toHaveLength(before);
    await app.enter("API key", "sk-0123");
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    expect(server.keys().at(-1)).toBe("Bearer sk-0123");
  } finally {
    await server.stop();
  }
});

test("a server without a model is told, and is asked again", async ({ app, page }) => {
  let names = [];
  const server = await standIn((send) => send(...names));
  const status = page.getByTestId("server-status");
  try {
    await app.openServerFields();
    await app.enter("Address", server.url);
    await expect(status).toContainText(`${server.url} answers, but its list of models is empty`);
    names = ["of-the-test"];
    await status.getByRole("button", { name: "Try again" }).click();
    await expect(page.locator("summary", { hasText: "of-the-test" })).toBeVisible();
    await expect(status).toBeEmpty();
  } finally {
    await server.stop();
  }
});

test("the model that was chosen is asked", async ({ app, page }) => {
  const server = await fakeServer({ models: ["one", "other"] });
  try {
    await app.useServer(server.url, "one");
    await app.write(ORDER);
    const label = page.locator(".runner-details label", {
      has: page.getByText("Model", { exact: true }),
    });
    const models = label.locator("select");
    await expect(models.locator("option")).toHaveText(["one", "other"]);
    const before = server.asked("/v1/tokenize");
    await models.selectOption("other");
    // Another model has another tokenizer.
    await expect.poll(() => server.asked("/v1/tokenize")).toBeGreaterThan(before);
    await app.drawn();
    await app.ask(QUESTION);
    await expect.poll(() => server.questions.length).toBe(1);
    const { body, stream } = server.questions[0];
    expect(body.model).toBe("other");
    stream.say("73-4815");
    stream.finish();
    expect(await app.answered()).toBe("73-4815");
    await expect(page.getByTestId("answer-figures").first()).toContainText("other");
  } finally {
    await server.stop();
  }
});

/** A proxy that has a server in a folder, and nothing beside it. */
async function proxyIn(folder, target) {
  const elsewhere = [];
  const proxy = createServer((request, response) => {
    if (!request.url.startsWith(folder)) {
      elsewhere.push(request.url);
      response.writeHead(404).end();
      return;
    }
    const url = new URL(request.url.slice(folder.length), `${target}/`);
    const headers = { ...request.headers, host: url.host };
    const passed = ask(url, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(passed);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}${folder}`,
    elsewhere,
    stop: () => {
      proxy.closeAllConnections();
      return new Promise((resolve) => proxy.close(resolve));
    },
  };
}

test("a server in a folder of a proxy is asked there", async ({ page, server }) => {
  const proxy = await proxyIn("/glyph/", server.url);
  try {
    await page.goto(proxy.url);
    await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
    const app = new App(page);
    await app.write(ORDER);
    await app.ask(QUESTION, 200);
    expect((await app.answered()).length).toBeGreaterThan(0);
    expect(proxy.elsewhere).toEqual([]);
  } finally {
    await proxy.stop();
  }
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
      const app = new App(page);
      await expect(page.getByTestId("server-status")).toContainText("wants a key");
      await app.openServerFields();
      await app.enter("API key", "another-secret");
      await expect(page.getByTestId("server-status")).toContainText("refuses this key");
      await expect(page.getByTestId("server-status")).toContainText("not one of this server's");
      await app.enter("API key", "secret-of-the-test");
      await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
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

test.describe("a server that refuses", () => {
  test.use({ allowedConsole: /status of 403/ });

  test("is shown with its reason, whatever the key", async ({ app, page }) => {
    const body = { error: { message: "this network may not ask" } };
    const server = await fakeServer({ replies: { "/v1/models": { status: 403, body } } });
    const status = page.getByTestId("server-status");
    try {
      await app.openServerFields();
      await app.enter("Address", server.url);
      await expect(status).toContainText("refuses: this network may not ask");
      await app.enter("API key", "a-key");
      await expect.poll(() => server.asked("/v1/models")).toBe(2);
      await expect(status).toContainText("refuses: this network may not ask");
      await expect(status).not.toContainText("wants a key");
    } finally {
      await server.stop();
    }
  });
});

test.describe("a server that cannot be reached", () => {
  test.use({ allowedConsole: /net::ERR_|Failed to load resource|Mixed Content|CORS policy/ });

  test("is reported with what to do", async ({ app, page }) => {
    await app.openServerFields();
    await app.enter("Address", "http://127.0.0.1:9");
    await expect(page.getByTestId("server-status")).toContainText("does not answer");
    await expect(page.getByTestId("server-status")).toContainText("cargo xtask serve");
  });

  test("from a page of https because it has none is told so", async ({ page }) => {
    const home = "https://page.test/";
    await page.route(`${home}**`, async (route) => {
      const request = route.request();
      const file = join(dist(), new URL(request.url()).pathname.replace(/\/$/, "/index.html"));
      const found = await stat(file).catch(() => undefined);
      if (!found?.isFile()) {
        return route.fulfill({ status: 404 });
      }
      const head = { contentType: "text/html", body: "" };
      return route.fulfill(request.method() === "HEAD" ? head : { path: file });
    });
    await page.goto(home);
    const app = new App(page);
    const status = page.getByTestId("server-status");
    await page.getByText("Server", { exact: true }).click();
    await app.openServerFields();
    await app.enter("Address", "http://gpu-box:8080");
    await expect(status).toContainText("from asking http://gpu-box:8080 by plain http");
    await page.getByLabel("Language").selectOption("zh");
    await page.getByRole("button", { name: "重试" }).click();
    await expect(status).toContainText("请让服务器使用 https");
  });
});
