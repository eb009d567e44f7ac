// Languages, colours, phone, and what assistive technology finds.

import AxeBuilder from "@axe-core/playwright";
import { CHINESE, longText, ORDER } from "./texts.js";
import { App, answerWith, expect, holdBack, test } from "./page.js";

/** What the built-in model answers to the examples that it can read. */
const ANSWERS = {
  "An order": "73-4815",
  "A needle in noise": "7319248",
  "A short story": "he had been waiting for",
};
const CHINESE_ANSWERS = { "订单（英文）": "73-4815", "大海捞针（英文）": "7319248" };

async function answersExamples(app, answers) {
  for (const [name, answer] of Object.entries(answers)) {
    await app.page.getByRole("button", { name, exact: true }).click();
    await app.page.getByTestId("ask").click();
    expect(await app.answered()).toContain(answer);
  }
}

/** Tries every example of a language. */
async function drawsExamples(app, group, count) {
  const { page } = app;
  const examples = await page.getByRole("group", { name: group, exact: true }).getByRole("button").all();
  expect(examples).toHaveLength(count);
  for (const example of examples) {
    const before = await app.figure("characters").textContent();
    await example.click();
    await expect(app.figure("characters")).not.toHaveText(before);
    await expect(app.question).not.toBeEmpty();
    await app.drawn();
    await expect(app.tiles.first()).toBeVisible();
    await expect(page.getByTestId("missing")).toHaveCount(0);
  }
}

async function noSeriousIssue(page) {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    .analyze();
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const shown = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  expect(shown).toEqual([]);
}

const unfold = (page) =>
  page.evaluate(() => {
    document.querySelectorAll("details").forEach((details) => (details.open = true));
  });

for (const scheme of ["light", "dark"]) {
  test(`axe finds no serious issue: ${scheme}`, async ({ app, page }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await noSeriousIssue(page);
    await app.write(`${ORDER} 𓀀`);
    await unfold(page);
    await app.ask("What is the order number?", 16);
    await app.answered();
    await noSeriousIssue(page);
    await page.getByText("This browser", { exact: true }).click();
    await noSeriousIssue(page);
    await app.tiles.first().click();
    await noSeriousIssue(page);
  });
}

test.describe("a server that fails", () => {
  test.use({ allowedConsole: /status of 500/ });

  test("axe finds no serious issue: reading, an error, Chinese in the tab", async ({ app, page }) => {
    const renderer = await holdBack(page, "**/render-worker_bg.wasm");
    await app.openFile("order.txt", ORDER);
    await expect(page.getByTestId("reading")).toBeVisible();
    await noSeriousIssue(page);
    renderer.letGo();
    await app.drawn();
    await page.route("**/v1/chat/completions", (route) => route.fulfill({ status: 500, body: "no" }));
    await app.ask("What is the order number?");
    await expect(app.answer.getByRole("alert")).toBeVisible();
    await noSeriousIssue(page);
    await page.getByText("This browser", { exact: true }).click();
    await page.getByLabel("Language").selectOption("zh");
    await unfold(page);
    await noSeriousIssue(page);
  });
});

test("examples ask what the built-in model answers rightly", async ({ app }) => {
  await answersExamples(app, ANSWERS);
});

test("every example can be tried", async ({ app }) => {
  await drawsExamples(app, "Try", 4);
});

test("loading a model is announced by its stages, not by its bytes", async ({ app, page }) => {
  await app.useTab("cpu");
  await page.getByTestId("tab-announced").evaluate((place) => {
    window.announced = [];
    const note = () => window.announced.push(place.textContent);
    new MutationObserver(note).observe(place, { characterData: true, childList: true, subtree: true });
  });
  await expect(page.getByTestId("tab-status")).not.toHaveAttribute("role");
  await page.getByTestId("load").click();
  await expect(page.getByTestId("tab-announced")).toContainText("Ready on CPU");
  const announced = await page.evaluate(() => window.announced);
  expect(announced.length).toBeLessThanOrEqual(6);
  expect(announced.filter((words) => words.includes(" / "))).toEqual([]);
});

test("the same folder can be chosen again", async ({ app, page }) => {
  await app.useTab("cpu");
  const folder = page.getByTestId("folder");
  for (let n = 0; n < 2; n += 1) {
    await folder.setInputFiles("../../models/glyph-mini");
    await expect(page.getByTestId("tab-ready")).toContainText("glyph-mini");
    // A browser says nothing of a choice that changes nothing: the list must be empty again.
    expect(await folder.evaluate((input) => input.files.length)).toBe(0);
    await page.getByRole("button", { name: "Unload" }).click();
    await expect(page.getByTestId("load")).toBeVisible();
  }
});

test("a phone shows everything without scrolling sideways", async ({ app, page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  const fits = async () => {
    await unfold(page);
    const [content, screen] = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    expect(content).toBeLessThanOrEqual(screen);
  };
  const unbroken = "long".repeat(40);
  await answerWith(page, { content: `<think>${unbroken}</think>` }, { content: unbroken });
  await app.openFile(`${unbroken}.txt`, ORDER);
  await expect(page.getByTestId("file-note")).toContainText(unbroken);
  await app.drawn();
  await app.ask("What is the order number?");
  await app.answered();
  await fits();
  await page.getByText("This browser", { exact: true }).click();
  await fits();
  await page.getByLabel("Address of a checkpoint").fill(`https://example.org/${unbroken}`);
  await page.getByLabel("Address of a checkpoint").press("Tab");
  await expect(page.locator(".runner-details > summary")).toContainText(unbroken);
  await fits();
});

test("axe finds no serious issue: a phone", async ({ app, page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await noSeriousIssue(page);
  await app.write(ORDER);
  await app.ask("What is the order number?", 16);
  await app.answered();
  await unfold(page);
  await noSeriousIssue(page);
  await app.tiles.first().click();
  await noSeriousIssue(page);
  // What belongs together stands on one line.
  const tops = ["Smaller", "Fit", "Larger"].map(async (name) => {
    const box = await page.getByRole("dialog").getByRole("button", { name, exact: true }).boundingBox();
    return Math.round(box.y);
  });
  expect(new Set(await Promise.all(tops)).size).toBe(1);
});

test("axe finds no serious issue: Chinese", async ({ app, page }) => {
  await page.getByLabel("Language").selectOption("zh");
  await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN");
  await noSeriousIssue(page);
  await app.write(CHINESE);
  await unfold(page);
  await app.ask("What is the order number?", 16);
  await app.answered();
  await noSeriousIssue(page);
  await app.tiles.first().click();
  await noSeriousIssue(page);
});

for (const [name, deltas] of [
  ["in its text", [{ content: "<think>six times seven</think>" }, { content: "42" }]],
  ["in a field of its own", [{ reasoning_content: "six times seven" }, { content: "42" }]],
]) {
  test(`thinking is folded away: ${name}`, async ({ app, page }) => {
    await answerWith(page, ...deltas);
    await app.write(ORDER);
    await app.ask("How many?");
    expect(await app.answered()).toBe("42");
    const thinking = app.answer.locator("details");
    await expect(thinking).not.toHaveAttribute("open");
    await expect(thinking.getByText("six times seven")).toBeHidden();
    await thinking.locator("summary").click();
    await expect(thinking.getByText("six times seven")).toBeVisible();
  });
}

test("beginning and end of an answer are announced", async ({ app, page }) => {
  const answer = await holdBack(page, "**/v1/chat/completions");
  await app.write(ORDER);
  await app.ask("What is the order number?", 200);
  await expect(app.answer.getByRole("status")).toHaveText("The answer is being prepared");
  answer.letGo();
  const text = await app.answered();
  expect(text.trim()).not.toBe("");
  await expect(app.answer.getByRole("status")).toHaveText(`Answer complete: ${text.trim()}`);
});

test("of a long answer the beginning is announced", async ({ app, page }) => {
  await answerWith(page, { content: "字".repeat(301) });
  await app.write(ORDER);
  await app.ask("What does it say?");
  await app.answered();
  await expect(app.answer.getByRole("status")).toHaveText(`Answer complete: ${"字".repeat(300)}…`);
});

test("the end of drawing is announced by the number of pages", async ({ app, page }) => {
  const announced = page.getByTestId("drawing-announced");
  await expect(announced).toBeEmpty();
  await app.write("A word.");
  await expect(announced).toHaveText("1 page is drawn");
  await app.write(ORDER.repeat(2));
  await expect(announced).toHaveText(`${await app.figure("pages").textContent()} pages are drawn`);
});

test.describe("a phone", () => {
  test.use({ hasTouch: true, isMobile: true, viewport: { width: 360, height: 740 } });

  test("has the question a few screens below a long text, however many pages are shown", async ({
    app,
    page,
  }) => {
    await app.openFile("long.txt", longText(100_000));
    await app.drawn();
    const screens = () =>
      app.question.evaluate((field) => (field.getBoundingClientRect().top + scrollY) / innerHeight);
    expect(await screens()).toBeLessThan(4);
    const before = await app.tiles.count();
    expect(before).toBeGreaterThan(0);
    // The pages scroll by themselves, and there are more at their end.
    await page.locator(".gallery-place").evaluate((place) => {
      place.scrollIntoView();
      place.scrollTop = place.scrollHeight;
    });
    await expect.poll(() => app.tiles.count()).toBeGreaterThan(before);
    expect(await screens()).toBeLessThan(4);
    await noSeriousIssue(page);
  });

  test("has no field of letters so small that the page is enlarged for it", async ({ app, page }) => {
    await app.write(ORDER);
    await unfold(page);
    const small = await page.locator("input, select, textarea").evaluateAll((fields) =>
      fields
        .filter((field) => parseFloat(getComputedStyle(field).fontSize) < 16)
        .map((field) => field.outerHTML),
    );
    expect(small).toEqual([]);
  });
});

test.describe("an answer is copied", () => {
  async function copied(app) {
    const { page } = app;
    await answerWith(page, { content: "First line\nsecond line" });
    await app.write(ORDER);
    await app.ask("What does it say?");
    await app.answered();
    await page.getByTestId("copy").click();
    return page.getByTestId("copy");
  }

  async function pasted(app) {
    await app.question.fill("");
    await app.question.press("ControlOrMeta+V");
    await expect(app.question).toHaveValue("First line\nsecond line");
  }

  test("where the page has a clipboard", async ({ app, context }) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await expect(await copied(app)).toHaveText("Copied");
    await pasted(app);
  });

  test("where it has none, as on plain http", async ({ page, server }) => {
    await page.addInitScript(() => delete Navigator.prototype.clipboard);
    await page.goto(server.url);
    await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
    const app = new App(page);
    const button = await copied(app);
    await expect(button).toHaveText("Copied");
    await expect(button).toBeFocused();
    await pasted(app);
  });

  test("or the page says that it cannot be", async ({ page, server }) => {
    await page.addInitScript(() => {
      delete Navigator.prototype.clipboard;
      document.execCommand = () => false;
    });
    await page.goto(server.url);
    await expect(page.locator("summary", { hasText: "glyph-mini" })).toBeVisible();
    const app = new App(page);
    await expect(await copied(app)).toHaveText("Copy");
    await expect(app.answer.getByRole("alert")).toContainText("refuses to copy");
  });
});

test("settings survive a reload", async ({ app, page }) => {
  await page.getByLabel("Language").selectOption("zh");
  await page.getByLabel("配色").selectOption("dark");
  await page.getByText("官方 Glyph").click();
  await page.getByTestId("max-tokens").fill("77");
  await page.getByTestId("max-tokens").press("Tab");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("lang", "zh-CN");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await expect(page.getByLabel("官方 Glyph")).toBeChecked();
  await expect(page.getByTestId("max-tokens")).toHaveValue("77");
  await app.write(CHINESE);
  await expect(page.getByTestId("missing")).toHaveCount(0);
});

test.describe("a Chinese browser", () => {
  test.use({ locale: "zh-CN" });

  test("is greeted in Chinese, with examples", async ({ page, server }) => {
    await page.goto(server.url);
    await expect(page).toHaveTitle(/把长文本当作图像来读/);
    const app = new App(page);
    await drawsExamples(app, "试试", 6);
  });

  test("finds first what the built-in model answers rightly", async ({ app }) => {
    await answersExamples(app, CHINESE_ANSWERS);
  });
});
