// What a question is about and who answers it, whatever the person does meanwhile.

import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fakeServer } from "./fake.js";
import { longText, ORDER } from "./texts.js";
import { expect, holdBack, test } from "./page.js";

const QUESTION = "Read the page.";
const MODEL = new URL("../../models/glyph-mini", import.meta.url).pathname;

/** Questions that reach a server. */
function questions(page) {
  const sent = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/chat/completions")) {
      sent.push(request);
    }
  });
  return sent;
}

/** A copy of the built-in model in a folder of that name, with changes to its style. */
async function folder(name, changes = {}) {
  const path = join(test.info().outputPath(), name);
  await cp(MODEL, path, { recursive: true });
  const style = JSON.parse(await readFile(join(path, "render.json"), "utf8"));
  await writeFile(join(path, "render.json"), JSON.stringify({ ...style, ...changes }));
  return path;
}

test("pages of a text before are not asked about", async ({ app, page }) => {
  await app.write("FIRST TEXT");
  await expect(app.tiles).toHaveCount(1);
  await app.openFile("long.txt", longText(4_000_000));
  await app.drawing.getByRole("button", { name: "Cancel" }).dispatchEvent("click");
  await expect(app.drawing).toContainText("Cancelled");
  const drawn = await app.tiles.count();
  await app.question.fill(QUESTION);
  if (drawn === 0) {
    await expect(page.getByTestId("ask")).toBeDisabled();
  } else {
    await page.getByTestId("ask").click();
    await expect(app.answer.getByRole("alert")).toContainText("Draw all");
  }
});

test.describe("a question that is put while a text is being read", () => {
  /** Keeps the worker from reading files until it is let go. */
  async function holdReading(page) {
    await page.evaluate(() => {
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (message, ...rest) {
        const go = () => post.call(this, message, ...rest);
        if (message.type === "decode") {
          window.letReadingGo = go;
        } else {
          go();
        }
      };
    });
    return async () => {
      // The worker may still be starting.
      await page.waitForFunction(() => window.letReadingGo);
      await page.evaluate(() => window.letReadingGo());
    };
  }

  test("is about that text, not about the one before", async ({ app, page }) => {
    const sent = questions(page);
    await app.write("FIRST TEXT");
    const letGo = await holdReading(page);
    await app.openFile("order.txt", ORDER);
    await app.ask("What is the order number?", 200);
    await expect(page.getByTestId("answer-status").first()).toContainText("Reading order.txt");
    expect(sent).toHaveLength(0);
    await letGo();
    expect(await app.answered()).toContain("73-4815");
    expect(sent).toHaveLength(1);
  });

  test("needs no text before", async ({ app, page }) => {
    const letGo = await holdReading(page);
    await expect(page.getByTestId("ask")).toBeDisabled();
    await app.openFile("order.txt", ORDER);
    await app.ask("What is the order number?", 200);
    await expect(page.getByTestId("answer-status").first()).toContainText("Reading order.txt");
    await letGo();
    expect(await app.answered()).toContain("73-4815");
  });

  test("fails with the reason when that is no text", async ({ app, page }) => {
    const sent = questions(page);
    await app.write("FIRST TEXT");
    const letGo = await holdReading(page);
    await app.openFile("picture.png", [0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3, 0xff]);
    await app.ask(QUESTION);
    await expect(page.getByTestId("answer-status").first()).toContainText("Reading picture.png");
    await letGo();
    await expect(app.answer.getByRole("alert")).toContainText("picture.png is not a text");
    expect(sent).toHaveLength(0);
  });

  test("fails when that reading is cancelled", async ({ app, page }) => {
    const sent = questions(page);
    await app.write("FIRST TEXT");
    await holdReading(page);
    await app.openFile("order.txt", ORDER);
    await app.ask(QUESTION, 8);
    await expect(page.getByTestId("answer-status").first()).toContainText("Reading order.txt");
    await page.getByTestId("reading").getByRole("button", { name: "Cancel" }).click();
    await expect(app.answer.getByRole("alert")).toContainText("order.txt is not here: its reading was cancelled");
    expect(sent).toHaveLength(0);
    // Put again, it is about the text that is there.
    await app.ask(QUESTION, 8);
    expect((await app.answered()).length).toBeGreaterThan(0);
    expect(sent).toHaveLength(1);
  });

  test("fails when another text is opened in its place", async ({ app, page }) => {
    const sent = questions(page);
    await app.write("FIRST TEXT");
    const letGo = await holdReading(page);
    await app.openFile("order.txt", ORDER);
    await app.ask(QUESTION);
    await expect(page.getByTestId("answer-status").first()).toContainText("Reading order.txt");
    await app.openFile("second.txt", "SECOND TEXT");
    await expect(app.answer.getByRole("alert")).toContainText("The text was changed or replaced");
    await letGo();
    await expect(app.text).toHaveValue("SECOND TEXT");
    expect(sent).toHaveLength(0);
  });

  test("can be stopped", async ({ app, page }) => {
    await app.write("FIRST TEXT");
    await holdReading(page);
    await app.openFile("order.txt", ORDER);
    await app.ask(QUESTION);
    await page.getByTestId("stop").click();
    await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  });
});

test.describe("a question that is put while the model is being loaded", () => {
  /** Asks about a text while the model's program is held back; `letGo` has it come. */
  async function asked(app, maxTokens) {
    const { page } = app;
    const program = await holdBack(page, "**/model-worker_bg.wasm");
    await app.useTab("cpu");
    await app.ask(QUESTION, maxTokens);
    await expect(page.getByTestId("answer-status").first()).toContainText("Loading the model");
    return program;
  }

  test("is not answered about another text", async ({ app }) => {
    await app.write("FIRST TEXT");
    const program = await asked(app, 8);
    await app.write(ORDER);
    program.letGo();
    await expect(app.answer.getByRole("alert")).toContainText("The text was changed or replaced");
    await expect(app.answerText).toBeEmpty();
    // Put again, it is about the text that is there.
    await app.ask(QUESTION, 8);
    expect((await app.answered()).length).toBeGreaterThan(0);
  });

  test("is about the same text when that can be edited whole by then", async ({ app, page }) => {
    // More than the model's context, so that nothing has to be answered.
    await app.openFile("long.txt", longText(45_000));
    await app.drawn();
    const program = await asked(app, 8);
    await page.getByRole("button", { name: "Edit all of it" }).click();
    await expect(page.locator("#text textarea")).toBeVisible();
    await app.drawn();
    program.letGo();
    await expect(app.answer.getByRole("alert")).toContainText("the model has room for 8192");
  });
});

test("what is too much is told before anything is sent", async ({ app, page }) => {
  const sent = questions(page);
  await app.write(longText(30_000));
  await app.ask(QUESTION);
  await expect(app.answer.getByRole("alert")).toContainText("The server takes 64 pages");
  expect(sent).toHaveLength(0);
});

test("pages that leave room for a question are asked about, however long its answer may be", async ({
  app,
  page,
}) => {
  await app.write(ORDER);
  const tokens = Number((await app.figure("vision-tokens").textContent()).replaceAll(",", ""));
  const servers = [];
  const withContext = async (contextTokens) => {
    const models = [{ id: "glyph-mini", max_model_len: contextTokens }];
    servers.push(await fakeServer({ models }));
    return servers.at(-1);
  };
  try {
    const large = await withContext(tokens + 40);
    await app.useServer(large.url, "glyph-mini");
    await app.ask(QUESTION, 1024);
    await expect.poll(() => large.questions.length).toBe(1);
    const { stream } = large.questions[0];
    stream.say("73-4815");
    stream.finish();
    expect(await app.answered()).toBe("73-4815");
    const small = await withContext(tokens);
    await app.enter("Address", small.url);
    await expect(page.getByTestId("limit")).toContainText(`room for ${tokens},`);
    await app.ask(QUESTION, 1);
    await app.answered();
    await expect(app.answer.getByRole("alert")).toContainText("room for");
    expect(small.questions).toHaveLength(0);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
});

test("presets fill the question in", async ({ app, page }) => {
  const preset = (name) => page.getByRole("button", { name, exact: true });
  await app.write(ORDER);
  await preset("Find a needle").click();
  await expect(app.question).toHaveValue(/magic number for big-cat/);
  await preset("Look up a value").click();
  await expect(app.question).toHaveValue("What is the order number?");
  await page.getByTestId("ask").click();
  expect(await app.answered()).toContain("73-4815");
  // The built-in model was not made to summarise.
  await expect(preset("Summarise")).toHaveCount(0);
  const server = await fakeServer({ models: ["larger"] });
  try {
    await app.useServer(server.url, "larger");
    // Its tokens are other ones than those of the built-in model.
    await expect.poll(() => server.asked("/v1/tokenize")).toBe(2);
    await app.drawn();
    await preset("Summarise").click();
    await expect(app.question).toHaveValue("Summarise the text in three sentences.");
    await page.getByTestId("ask").click();
    await expect.poll(() => server.questions.length).toBe(1);
    const { body, stream } = server.questions[0];
    expect(body.messages[0].content.at(-1).text).toBe("Summarise the text in three sentences.");
    stream.say("An order.");
    stream.finish();
    expect(await app.answered()).toBe("An order.");
  } finally {
    await server.stop();
  }
});

test("an answer that was stopped keeps its figures", async ({ app, page }) => {
  await app.write(longText(8000));
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByTestId("stop").click();
  await expect(page.getByTestId("answer-figures").first()).toContainText(/\d+ tokens · first token/);
});

test("all pages are read by whom the person asked", async ({ app, page }) => {
  const sent = questions(page);
  await app.write(ORDER);
  await app.useTab("cpu");
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByText("Server", { exact: true }).click();
  await app.answered();
  expect(sent).toHaveLength(0);
  await expect(page.getByTestId("answer-figures").first()).toContainText("CPU");
});

test("pages of another model's style are not handed to the one that was asked", async ({
  app,
  page,
}) => {
  const sent = questions(page);
  const worker = await holdBack(page, "**/model-worker_bg.wasm");
  await app.write(ORDER);
  await app.useTab("cpu");
  const path = await folder("mine", { "page-size": "560,448" });
  await page.getByTestId("folder").setInputFiles(path);
  await app.ask(QUESTION, 8);
  await expect(page.getByTestId("answer-status").first()).toContainText("Loading the model");
  await page.getByText("Server", { exact: true }).click();
  worker.letGo();
  await app.answered();
  await expect(app.answer.getByRole("alert")).toContainText("Another model was chosen before mine");
  expect(sent).toHaveLength(0);
  // Chosen again, it answers: its pages are drawn first.
  await page.getByText("This browser", { exact: true }).click();
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("unloading the model ends its answer as stopped", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByRole("button", { name: "Unload" }).click();
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await expect(page.getByTestId("load")).toBeVisible();
});

test("a folder's model is loaded again after it has ended", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  await page.getByTestId("folder").setInputFiles(await folder("mine"));
  await expect(page.getByTestId("tab-ready")).toContainText("mine");
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  const worker = page.workers().find((one) => one.url().includes("model-worker"));
  await worker.evaluate(() => setTimeout(() => { throw new Error("out of memory"); }));
  await app.answered();
  await app.ask(QUESTION, 8);
  expect((await app.answered()).length).toBeGreaterThan(0);
  await expect(page.getByTestId("tab-ready")).toContainText("mine");
});

test("a model of the built-in one's name has its own style", async ({ app, page }) => {
  await app.write(ORDER);
  await app.useTab("cpu");
  const size = await app.tiles.first().textContent();
  const path = await folder("glyph-mini", { "page-size": "560,448" });
  await page.getByTestId("folder").setInputFiles(path);
  await expect(page.getByTestId("tab-ready")).toContainText("glyph-mini");
  await expect(app.tiles.first()).not.toHaveText(size);
});

test("what a folder's style may not have is told in Chinese, with what it may", async ({ app, page }) => {
  await page.getByLabel("Language").selectOption("zh");
  await app.write(ORDER);
  await app.useTab("cpu");
  for (const [changes, words] of [
    [{ dpi: 3000 }, "样式的值无法使用：dpi = 3000，应为 1 到 2400 之间的数。请修改它"],
    [{ "font-size": 0 }, "font-size = 0，应为 0.1 到 14400 之间的数（pt）"],
    [{ "margin-x": -9 }, "margin-x = -9，应为 -6（抵消边框的内边距） 到 14400 之间的数（pt）"],
    [{ "font-color": "red" }, 'font-color = "red"，应为颜色，例如 "#1A2B3C"'],
    [{ colour: "red" }, "样式没有 colour 这个键。请删除它或改正键名"],
    [{ "font-path": undefined }, "样式缺少 font-path 这个键。请补上它"],
  ]) {
    const path = await folder(`style-of-${Object.keys(changes)[0]}`, changes);
    await page.getByTestId("folder").setInputFiles(path);
    await expect(page.getByTestId("drawing-failed")).toContainText(words);
  }
});
