// The page without a mouse: everything can be reached, and the keyboard is never left nowhere.

import { longText, ORDER } from "./texts.js";
import { answerWith, expect, holdBack, test } from "./page.js";

test("everything can be done by keyboard alone", async ({ app, page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const button = (name) => page.getByRole("button", { name, exact: true });
  const press = (key) => page.keyboard.press(key);
  const tabTo = async (locator, key = "Tab") => {
    for (let n = 0; n < 80; n += 1) {
      if (await locator.evaluate((element) => element === document.activeElement)) {
        return;
      }
      await press(key);
    }
    await expect(locator).toBeFocused();
  };
  // Asked for early: a chooser that opens before the browser has heard of this is nobody's.
  const chooser = page.waitForEvent("filechooser");
  await press("Tab");
  await expect(page.getByText("Skip to the text")).toBeFocused();
  await tabTo(button("Open a file"));
  await press("Enter");
  await (await chooser).setFiles({ name: "order.txt", mimeType: "text/plain", buffer: Buffer.from(ORDER) });
  await expect(page.getByTestId("file-note")).toContainText("order.txt");
  await tabTo(app.text);
  await press("ControlOrMeta+A");
  await page.keyboard.type("Order number: 73-4815");
  await app.drawn();
  // Style
  const reset = button("Reset the style");
  await tabTo(page.locator(".style-details > summary"));
  await press("Enter");
  await tabTo(page.getByLabel("Font size, pt", { exact: true }));
  await page.keyboard.type("12");
  await tabTo(reset);
  await expect(reset).toHaveAttribute("aria-disabled", "false");
  await press("Enter");
  await expect(reset).toHaveAttribute("aria-disabled", "true");
  await expect(reset).toBeFocused();
  await app.drawn();
  // Pages
  await tabTo(app.tiles.first());
  await press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await press("Escape");
  // Where it runs
  const runner = (name) => page.getByRole("radio", { name, exact: true });
  await tabTo(runner("Server"));
  await press("ArrowRight");
  await expect(runner("This browser")).toBeChecked();
  await expect(page.getByTestId("load")).toBeVisible();
  await press("ArrowLeft");
  await expect(runner("Server")).toBeChecked();
  // Asking, copying, stopping
  await tabTo(app.question);
  await page.keyboard.type("What is the order number?");
  await press("Enter");
  expect((await app.answered()).length).toBeGreaterThan(0);
  await tabTo(page.getByTestId("copy"));
  await press("Enter");
  await expect(page.getByTestId("copy")).toHaveText("Copied");
  await holdBack(page, "**/v1/chat/completions");
  await tabTo(button("Read all pages"), "Shift+Tab");
  await press("Enter");
  await expect(page.getByTestId("stop")).toBeVisible();
  await expect(button("Read all pages")).toBeFocused();
  await tabTo(page.getByTestId("stop"));
  await press("Enter");
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await expect(app.answer.getByRole("heading")).toBeFocused();
});

test("the question is reached past all pages", async ({ app, page }) => {
  await app.write(longText(8000));
  expect(await app.tiles.count()).toBeGreaterThan(4);
  const skip = page.getByRole("link", { name: "Skip to the question" });
  await expect(skip).not.toBeInViewport();
  await page.getByRole("link", { name: "Skip to the text" }).focus();
  await page.keyboard.press("Tab");
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(app.question).toBeFocused();
  await page.getByLabel("Language").selectOption("zh");
  await expect(page.getByRole("link", { name: "跳到提问" })).toHaveAttribute("href", "#question");
});

test("whoever shows more pages is led to the last when there are no more", async ({ app, page }) => {
  await app.write(longText(30_000));
  await page.getByRole("button", { name: "Show more pages" }).focus();
  const isThere = () =>
    page.evaluate(() => {
      const more = document.querySelector(".gallery-end button");
      more?.click();
      return more !== null;
    });
  await expect.poll(isThere).toBe(false);
  await expect(app.tiles.last()).toBeFocused();
});

test("an enlarged page is scrolled by keys that turn it elsewhere, and browsers keep theirs", async ({
  app,
  page,
}) => {
  // Too small for an enlarged page.
  await page.setViewportSize({ width: 360, height: 740 });
  await app.write(ORDER.repeat(4));
  await app.tiles.first().click();
  const dialog = page.getByRole("dialog");
  const large = dialog.locator(".zoom-page");
  const shows = (number) => expect(dialog.locator("[aria-live]")).toContainText(`Page ${number} of`);
  const press = (key) => page.keyboard.press(key);
  await large.focus();
  for (let n = 0; n < 5; n += 1) {
    await press("+");
  }
  await expect(dialog.locator("img")).toHaveAttribute("style", /width:/);
  await press("ArrowRight");
  await expect.poll(() => large.evaluate((place) => place.scrollLeft)).toBeGreaterThan(0);
  await press("PageDown");
  await shows(1);
  // Its buttons do not scroll.
  await dialog.getByRole("button", { name: "Next page" }).focus();
  await press("PageDown");
  await shows(2);
  await press("Control+ArrowLeft");
  await shows(2);
  await press("ArrowLeft");
  await shows(1);
  // Fitted, there is nothing to scroll.
  await large.focus();
  await press("0");
  await press("ArrowRight");
  await shows(2);
});

test("whoever asks by its button stays there", async ({ app, page }) => {
  await answerWith(page, { content: "42" });
  await app.write(ORDER);
  await app.question.fill("How many?");
  const ask = page.getByTestId("ask");
  await ask.press("Enter");
  await expect(ask).toBeFocused();
  expect(await app.answered()).toBe("42");
  await expect(ask).toBeFocused();
  await expect(page.getByTestId("answer")).toHaveCount(1);
});

test("whoever loads a model by keyboard is led to what took the button's place", async ({ app, page }) => {
  await holdBack(page, "**/*.safetensors");
  await app.useTab("cpu");
  await page.getByTestId("load").press("Enter");
  await expect(page.getByTestId("tab-status").getByRole("button", { name: "Cancel" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("load")).toBeFocused();
});

test("an Enter that ends a word of an input method does not ask", async ({ app, page }) => {
  await answerWith(page, { content: "42" });
  await app.write(ORDER);
  await app.question.fill("多少？");
  // As Safari sends it: the composition has ended by then.
  await app.question.evaluate((field) => {
    const options = { key: "Enter", keyCode: 229, bubbles: true, cancelable: true };
    field.dispatchEvent(new KeyboardEvent("keydown", options));
  });
  await expect(page.getByTestId("answer")).toHaveCount(0);
  await app.question.press("Enter");
  expect(await app.answered()).toBe("42");
  await expect(page.getByTestId("answer")).toHaveCount(1);
});

test("who stops an answer by keyboard is left at it", async ({ app, page }) => {
  await app.write(longText(8000));
  await page.getByRole("button", { name: "Read all pages" }).click();
  await expect(app.answerText).not.toBeEmpty();
  await page.getByTestId("stop").press("Enter");
  await expect(page.getByTestId("answer-status").first()).toHaveText("Stopped");
  await expect(app.answer.getByRole("heading")).toBeFocused();
});
