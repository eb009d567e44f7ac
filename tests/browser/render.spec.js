// Text in, pages out.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { longText, CHINESE, ORDER } from "./texts.js";
import { nativePages } from "./glyph.js";
import { expect, test } from "./page.js";

test("pages appear while a text is typed, and are those of the native renderer", async ({ app }) => {
  await app.write(ORDER);
  const native = await nativePages(ORDER);
  await expect(app.tiles).toHaveCount(native.length);
  expect(await app.figure("pages").textContent()).toBe(String(native.length));
  // The PNG encoder is the same on both sides: equal pixels are equal files.
  const files = await app.pngFiles();
  native.forEach((file, index) => expect(file.equals(files[index])).toBe(true));
});

for (const [name, text] of [
  ["English", longText(20_000)],
  ["Chinese and English", `${CHINESE}\n`.repeat(20)],
]) {
  test(`the official style draws the pixels of the native renderer: ${name}`, async ({ app }) => {
    await app.page.getByText("Official Glyph").click();
    await app.write(text);
    const native = await nativePages(text, "official");
    await expect(app.tiles).toHaveCount(native.length);
    const files = await app.pngFiles();
    native.forEach((file, index) => expect(file.equals(files[index])).toBe(true));
  });
}

test("figures follow from text and pages", async ({ app }) => {
  await app.write(ORDER);
  const figure = async (name) => Number((await app.figure(name).textContent()).replace(/[,×]/g, ""));
  const [width, height] = await app.tiles
    .first()
    .locator("img")
    .evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  const tokens = (width / 28) * (height / 28) * (await app.tiles.count());
  expect(await figure("characters")).toBe(ORDER.length);
  expect(await figure("vision-tokens")).toBe(tokens);
  expect(await figure("compression")).toBeCloseTo(ORDER.length / tokens, 1);
  await expect(app.figure("kv")).toContainText(/[0-9.]+ [KM]B · as text [0-9.]+ [KM]B/);
});

test("a changed style is drawn anew and can be taken back", async ({ app }) => {
  await app.write(ORDER);
  const before = await app.pngFiles();
  await app.page.getByText("Style", { exact: true }).last().click();
  await app.page.getByTestId("dpi").selectOption("96");
  await expect(app.tiles.first()).toContainText("×");
  await expect(async () => {
    const scaled = (await app.pngFiles())[0];
    // Width of the PNG header.
    expect(scaled.readUInt32BE(16)).toBe(Math.ceil((before[0].readUInt32BE(16) * 96) / 72));
  }).toPass();
  await app.page.getByRole("button", { name: "Reset the style" }).click();
  await expect(async () => {
    expect((await app.pngFiles())[0].equals(before[0])).toBe(true);
  }).toPass();
});

test("everything that can be chosen of a style changes the pages", async ({ app, page }) => {
  await app.write(ORDER.repeat(2));
  await page.locator(".style-details > summary").click();
  const field = (label) => page.getByLabel(label, { exact: true });
  const fill = (label, value) => async () => {
    await field(label).fill(value);
    await field(label).press("Tab");
  };
  // The text of their options belongs to the text of such labels.
  const select = (label, value) => () => page.getByLabel(label).selectOption(value);
  let before = Buffer.concat(await app.pngFiles());
  for (const [name, change] of [
    ["font size", fill("Font size, pt", "9")],
    ["line height", fill("Line height, pt", "20")],
    ["page size", select("Page size, pt", "420,595")],
    ["newlines", select("Newlines", "marker")],
    ["text colour", () => field("Text colour").fill("#0000ff")],
    ["paper colour", () => field("Paper colour").fill("#ffff00")],
  ]) {
    await change();
    await expect(async () => {
      const files = await app.pngFiles();
      expect(files.length, name).toBeGreaterThan(0);
      expect(Buffer.concat(files).equals(before), `${name} changes nothing`).toBe(false);
    }).toPass();
    await app.drawn();
    before = Buffer.concat(await app.pngFiles());
  }
});

test("a bar shows how far a long text has come", async ({ app, page }) => {
  // Too quick to be looked at from outside.
  await page.evaluate(() => {
    window.shares = [];
    const place = document.querySelector("[data-testid=drawing]");
    const note = () => window.shares.push(...[...place.querySelectorAll("progress")].map((bar) => bar.value));
    new MutationObserver(note).observe(place, { attributes: true, childList: true, subtree: true });
  });
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(1 << 20));
  await expect(page.getByTestId("file-note")).toContainText("1.0 MB");
  await app.drawn();
  const shares = await page.evaluate(() => window.shares);
  expect(shares.some((share) => share > 0 && share < 1)).toBe(true);
  await expect(app.drawing.locator("progress")).toHaveCount(0);
});

test("scripts that the renderer does not join or reorder are named", async ({ app, page }) => {
  await app.write("Peace is שלום in Hebrew.");
  await expect(page.getByTestId("scripts")).toContainText("as the official renderer does");
  await app.write(CHINESE);
  await expect(page.getByTestId("scripts")).toHaveCount(0);
});

test("one page can be looked at closely", async ({ app }) => {
  await app.write(ORDER.repeat(4));
  await app.tiles.first().click();
  const dialog = app.page.getByRole("dialog");
  await expect(dialog).toContainText(/Page 1 of/);
  await app.page.keyboard.press("ArrowRight");
  await expect(dialog).toContainText(/Page 2 of/);
  await app.page.keyboard.press("+");
  await expect(dialog.locator("img")).toHaveAttribute("style", /width:/);
  await app.page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
});

test("Chinese is drawn with a font that is fetched once, when it is needed", async ({ app, page }) => {
  const fonts = [];
  page.on("request", (request) => {
    if (request.url().endsWith(".ttf")) {
      fonts.push(request.url());
    }
  });
  await app.write("Only English so far.");
  const isChinese = (url) => /CJK/.test(url);
  expect(fonts.filter(isChinese)).toHaveLength(0);
  await app.write(CHINESE);
  await app.write(`${CHINESE}!`);
  expect(fonts.filter(isChinese)).toHaveLength(1);
  await expect(page.getByTestId("missing")).toHaveCount(0);
});

test("characters in no font are counted and named", async ({ app, page }) => {
  await app.write("A hieroglyph: 𓀀𓀀, and a smile.");
  await expect(page.getByTestId("missing")).toContainText("U+13000");
  await expect(page.getByTestId("missing")).toContainText("×2");
});

test("drawing a long text can be cancelled and taken up again", async ({ app, page }) => {
  await app.openFile("long.txt", longText(4_000_000));
  // At once: it does not take long.
  await page.getByRole("button", { name: "Cancel" }).dispatchEvent("click");
  await expect(app.drawing).toContainText("Cancelled");
  const drawn = Number((await app.figure("pages").textContent()).replaceAll(",", ""));
  await page.getByRole("button", { name: "Draw all" }).click();
  await app.drawn();
  const all = Number((await app.figure("pages").textContent()).replaceAll(",", ""));
  expect(all).toBeGreaterThan(drawn);
});

/** What the page's thread did at one go, by a trace: milliseconds on the clock and of the processor. */
function tasks(trace) {
  const { traceEvents } = JSON.parse(trace);
  const isMain = ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain";
  const thread = ({ pid, tid }) => `${pid}:${tid}`;
  const threads = new Set(traceEvents.filter(isMain).map(thread));
  return traceEvents
    .filter((event) => event.name.endsWith("RunTask") && threads.has(thread(event)))
    .map(({ dur, tdur }) => ({ clock: Math.round(dur / 1000), processor: Math.round(tdur / 1000) }));
}

test("a megabyte is drawn without the page standing still", async ({ app, browser, page }) => {
  await page.getByText("Official Glyph").click();
  // A file on the disk, as a person has it: Playwright builds others in the page's own thread.
  const file = join(test.info().outputPath(), "megabyte.txt");
  await writeFile(file, longText(1 << 20));
  await browser.startTracing(page, { categories: ["toplevel"] });
  await page.getByTestId("file").setInputFiles(file);
  await expect(page.getByTestId("file-note")).toContainText("megabyte.txt · UTF-8 · 1.0 MB");
  await app.drawn();
  const done = tasks(await browser.stopTracing());
  const longest = (key) => done.map((task) => task[key]).sort((a, b) => b - a).slice(0, 5);
  const pages = await app.figure("pages").textContent();
  console.log(
    `1 MB, ${pages} pages; longest blocks of the page's thread: ` +
      `${longest("clock")} ms, of that on a processor ${longest("processor")} ms`,
  );
  expect(done.length).toBeGreaterThan(100);
  // Other programs of the machine keep the thread waiting too, so its own time is what is limited.
  expect(longest("processor")[0]).toBeLessThan(200);
});

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

test("a text that a field could not hold is not offered to be edited", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(300_000));
  await expect(page.locator("#text")).toContainText("too long to be edited here");
  await expect(page.getByRole("button", { name: "Edit all of it" })).toHaveCount(0);
});

test("a long text can be pasted, whatever its characters", async ({ app, page }) => {
  // No file with this would be taken for a text.
  const text = `${longText(60_000)}\0`;
  await app.text.focus();
  await app.text.evaluate((field, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", pasted);
    const options = { clipboardData, bubbles: true, cancelable: true };
    field.dispatchEvent(new ClipboardEvent("paste", options));
  }, text);
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
      await expect(page.getByRole("alert").first()).toContainText(`${name} ${message}`);
    });
  }
});
