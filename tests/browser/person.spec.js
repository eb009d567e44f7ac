// Languages, colours, keyboard, phone, and what assistive technology finds.

import AxeBuilder from "@axe-core/playwright";
import { CHINESE, ORDER } from "./texts.js";
import { App, expect, test } from "./page.js";

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

test("everything can be done by keyboard alone", async ({ app, page }) => {
  await page.keyboard.press("Tab");
  await expect(page.getByText("Skip to the text")).toBeFocused();
  const tabTo = async (locator) => {
    for (let n = 0; n < 60; n += 1) {
      if (await locator.evaluate((element) => element === document.activeElement)) {
        return;
      }
      await page.keyboard.press("Tab");
    }
    await expect(locator).toBeFocused();
  };
  await tabTo(app.text);
  await page.keyboard.type("Order number: 73-4815");
  await app.drawn();
  await tabTo(app.tiles.first());
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await tabTo(app.question);
  await page.keyboard.type("What is the order number?");
  await page.keyboard.press("Enter");
  expect((await app.answered()).length).toBeGreaterThan(0);
});

test("a phone shows everything without scrolling sideways", async ({ app, page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await app.write(ORDER);
  await app.ask("What is the order number?", 16);
  await app.answered();
  await unfold(page);
  const [content, screen] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(content).toBeLessThanOrEqual(screen);
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
    for (const example of await page.getByRole("group", { name: "试试" }).getByRole("button").all()) {
      await example.click();
      await expect(app.question).not.toBeEmpty();
      await app.drawn();
      await expect(page.getByTestId("missing")).toHaveCount(0);
    }
  });
});
