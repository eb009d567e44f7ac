// How a text comes into the page: typed, pasted, dragged, opened.

import { longText, ORDER } from "./texts.js";
import { expect, holdBack, test } from "./page.js";

test("a long text is shown by its beginning, and can be edited whole", async ({ app, page }) => {
  const text = longText(60_000);
  await app.openFile("long.txt", text);
  await app.drawn();
  await expect(app.figure("characters")).toHaveText(text.length.toLocaleString("en"));
  const before = await app.figure("pages").textContent();
  const excerpt = page.getByRole("region", { name: "The text to read" });
  await expect(excerpt).toContainText(text.slice(0, 100));
  await page.getByRole("button", { name: "Edit all of it" }).press("Enter");
  await expect(page.locator("#text textarea")).toHaveValue(text);
  await expect(page.locator("#text textarea")).toBeFocused();
  await expect(app.figure("pages")).toHaveText(before);
});

test("who edits a long text whole can paste a word", async ({ app, page }) => {
  const text = longText(60_000);
  await app.openFile("long.txt", text);
  await page.getByRole("button", { name: "Edit all of it" }).click();
  await expect(page.locator("#text textarea")).toHaveValue(text);
  expect(await app.paste("word")).toBe(false);
  expect(await app.paste(longText(150_000))).toBe(true);
  await expect(page.locator("#text")).toContainText("too long to be edited here");
});

test("a long text that is dragged or dictated does not stay in the field", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  const text = longText(300_000);
  // Comes as one insertion, as those do.
  await app.text.fill(text);
  await expect(app.figure("characters")).toHaveText(text.length.toLocaleString("en"));
  await expect(page.locator("#text textarea")).toHaveCount(0);
  await expect(page.locator("#text")).toContainText("too long to be edited here");
});

test("a text that a field could not hold is not offered to be edited", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(300_000));
  await expect(page.locator("#text")).toContainText("too long to be edited here");
  await expect(page.getByRole("button", { name: "Edit all of it" })).toHaveCount(0);
});

test("a long text can be pasted, whatever its characters", async ({ app, page }) => {
  // No file with this would be taken for a text.
  const text = `${longText(60_000)}\0`;
  expect(await app.paste(text)).toBe(true);
  await expect(app.figure("characters")).toHaveText(text.length.toLocaleString("en"));
  await app.drawn();
  const excerpt = page.getByRole("region", { name: "The text to read" });
  await expect(excerpt).toContainText(text.slice(0, 100));
  await expect(excerpt).toBeFocused();
  await expect(page.getByTestId("file-note")).toBeEmpty();
});

test.describe("what is dragged", () => {
  /** Drags over an element and drops there; says what the page took from the browser. */
  const drop = (locator, { files = [], words }) =>
    locator.evaluate(
      (element, { files, words }) => {
        const dataTransfer = new DataTransfer();
        files.forEach(([name, text]) => dataTransfer.items.add(new File([text], name)));
        if (words) {
          dataTransfer.setData("text/plain", words);
        }
        const isTaken = (type) => {
          const options = { dataTransfer, bubbles: true, cancelable: true };
          return !element.dispatchEvent(new DragEvent(type, options));
        };
        return ["dragover", "drop"].map(isTaken);
      },
      { files, words },
    );

  for (const place of ["#pages", "#ask", "body", "#text textarea"]) {
    test(`a file is read: ${place}`, async ({ app, page }) => {
      expect(await drop(page.locator(place), { files: [["order.txt", ORDER]] })).toEqual([true, true]);
      await expect(page.getByTestId("file-note")).toContainText("order.txt · UTF-8");
      await expect(app.text).toHaveValue(ORDER);
      await app.drawn();
    });
  }

  test("of two files the first is read, and that is said", async ({ app, page }) => {
    const files = [
      ["first.txt", ORDER],
      ["second.txt", "Another text."],
    ];
    await drop(page.locator("#pages"), { files });
    await expect(page.getByRole("alert").first()).toContainText("only the first is read: first.txt");
    await expect(app.text).toHaveValue(ORDER);
  });

  test("a folder is refused in words", async ({ app, page }) => {
    // A page cannot make a folder that is dragged.
    await page.evaluate(() => {
      DataTransferItem.prototype.webkitGetAsEntry = () => ({ isDirectory: true });
    });
    await drop(page.locator("#pages"), { files: [["folder", ""]] });
    await expect(page.getByRole("alert").first()).toContainText("A folder is no text");
    await expect(app.text).toBeEmpty();
  });

  test("words are left to the browser", async ({ app, page }) => {
    await app.write(ORDER);
    expect(await drop(page.locator("#text textarea"), { words: "Order" })).toEqual([false, false]);
    await expect(app.text).toHaveValue(ORDER);
  });
});

test.describe("files", () => {
  const text = "Größe: 汉字 and more\n".repeat(30);
  const utf16 = (bigEndian) => {
    const bytes = Buffer.from(`\uFEFF${text}`, "utf16le");
    return bigEndian ? bytes.swap16() : bytes;
  };
  // "汉字abc" again and again, in GB18030.
  const gb18030 = Buffer.concat(
    Array.from({ length: 30 }, () => Buffer.from([0xba, 0xba, 0xd7, 0xd6, 0x61, 0x62, 0x63, 0x0a])),
  );
  for (const [name, bytes, encoding, characters] of [
    ["plain.txt", Buffer.from(text), "UTF-8", text.length],
    ["marked.txt", Buffer.from(`\uFEFF${text}`), "UTF-8", text.length],
    ["little.txt", utf16(false), "UTF-16LE", text.length],
    ["big.txt", utf16(true), "UTF-16BE", text.length],
    ["chinese.txt", gb18030, "GB18030", 180],
  ]) {
    test(`${name} is read as ${encoding}`, async ({ app, page }) => {
      await app.openFile(name, bytes);
      await expect(page.getByTestId("file-note")).toContainText(`${name} · ${encoding}`);
      await app.drawn();
      await expect(app.figure("characters")).toHaveText(String(characters));
      await expect(page.getByTestId("missing")).toHaveCount(0);
    });
  }

  test("a file that is edited whole is still what it was", async ({ app, page }) => {
    const long = Buffer.concat(Array.from({ length: 300 }, () => gb18030));
    await app.openFile("chinese.txt", long);
    const note = "chinese.txt · GB18030 · 90 KB · 54,000 characters";
    await expect(page.getByTestId("file-note")).toContainText(note);
    await page.getByRole("button", { name: "Edit all of it" }).click();
    await expect(page.locator("#text textarea")).toBeVisible();
    await expect(page.getByTestId("file-note")).toContainText(note);
  });

  for (const [name, bytes, message] of [
    ["picture.png", Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2, 3, 0xff]), "is not a text"],
    ["empty.txt", Buffer.alloc(0), "is empty"],
  ]) {
    test(`${name} is refused with a reason`, async ({ app, page }) => {
      await app.openFile(name, bytes);
      const notice = page.getByRole("alert").first();
      await expect(notice).toContainText(`${name} ${message}`);
      await app.write("Another text.");
      await expect(notice).toBeEmpty();
    });
  }
});

test.describe("while a text is read", () => {
  const RENDERER = "**/render-worker*.wasm";

  test("its name is shown, and it can be ended", async ({ app, page }) => {
    const renderer = await holdBack(page, RENDERER);
    await app.openFile("long.txt", longText(60_000));
    const reading = page.getByTestId("reading");
    await expect(reading).toContainText("Reading long.txt, 60 KB");
    await expect(app.text).not.toBeEditable();
    await reading.getByRole("button", { name: "Cancel" }).press("Enter");
    await expect(reading).toHaveCount(0);
    await expect(app.text).toBeFocused();
    await app.text.fill("Another text.");
    renderer.letGo();
    await app.drawn();
    await expect(app.text).toHaveValue("Another text.");
    await expect(page.getByTestId("file-note")).toBeEmpty();
  });

  test("a key does not lose what was pasted", async ({ app, page }) => {
    const renderer = await holdBack(page, RENDERER);
    const text = longText(60_000);
    expect(await app.paste(text)).toBe(true);
    await expect(page.getByTestId("reading")).toContainText("Reading The text");
    await page.keyboard.type("x");
    renderer.letGo();
    await expect(app.figure("characters")).toHaveText(text.length.toLocaleString("en"));
    await expect(page.getByRole("region", { name: "The text to read" })).toBeFocused();
  });
});
