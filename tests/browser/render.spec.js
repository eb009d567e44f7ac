// Text in, pages out.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { longText, CHINESE, ORDER } from "./texts.js";
import { nativePages } from "./glyph.js";
import { bytesShown, expect, holdBack, test } from "./page.js";

/** The font that is fetched when a text needs it. */
const CJK_FONT = /CJK[^/]*\.ttf$/;

/** Bytes of keys and values that the built-in model has for a token, by its own configuration. */
async function kvBytesPerToken() {
  const file = new URL("../../models/glyph-mini/config.json", import.meta.url);
  const { text_config: config } = JSON.parse(await readFile(file, "utf8"));
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const kvHeads = config.num_key_value_heads ?? config.num_attention_heads;
  // Keys and values, 4 bytes each.
  return config.num_hidden_layers * 2 * kvHeads * headDim * 4;
}

const number = (text) => Number(text.replace(/[,×]/g, ""));

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
  const figure = async (name) => number(await app.figure(name).textContent());
  const [width, height] = await app.tiles
    .first()
    .locator("img")
    .evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  const tokens = (width / 28) * (height / 28) * (await app.tiles.count());
  expect(await figure("characters")).toBe(ORDER.length);
  expect(await figure("vision-tokens")).toBe(tokens);
  expect(await figure("compression")).toBeCloseTo(ORDER.length / tokens, 1);
  const files = await app.pngFiles();
  const bytes = files.reduce((sum, file) => sum + file.length, 0);
  await expect(app.figure("png-bytes")).toHaveText(bytesShown(bytes));
  // A token of the built-in model's text is a byte.
  const kv = await kvBytesPerToken();
  const [ofPages, ofText] = [tokens, Buffer.byteLength(ORDER)].map((n) => bytesShown(n * kv));
  await expect(app.figure("kv")).toHaveText(`${ofPages} · as text ${ofText}`);
});

test("a changed style is drawn anew and can be taken back", async ({ app }) => {
  await app.write(ORDER);
  const before = await app.pngFiles();
  // Width of the PNG header.
  const width = before[0].readUInt32BE(16);
  const tile = app.tiles.first();
  // Files are read when the pages that are awaited are there: those of before go while they are read.
  const redrawn = async (width) => {
    await expect(tile).toContainText(` ${width}×`);
    await app.drawn();
    return (await app.pngFiles())[0];
  };
  await app.page.getByText("Style", { exact: true }).last().click();
  await app.page.getByTestId("dpi").selectOption("96");
  const scaled = Math.ceil((width * 96) / 72);
  expect((await redrawn(scaled)).readUInt32BE(16)).toBe(scaled);
  await app.page.getByRole("button", { name: "Reset the style" }).click();
  expect((await redrawn(width)).equals(before[0])).toBe(true);
});

test.describe("a style", () => {
  // Pages are replaced while their files are read.
  test.use({ allowedConsole: /ERR_FILE_NOT_FOUND/ });

  test("changes the pages by everything that can be chosen of it", async ({ app, page }) => {
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
      ["many dots", select("DPI", "120")],
      ["few dots", select("DPI", "72")],
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
});

test("a size beyond its limits is shown as it is used, each time", async ({ app, page }) => {
  await app.write(ORDER);
  await page.locator(".style-details > summary").click();
  const field = page.getByLabel("Font size, pt", { exact: true });
  for (const [entered, used] of [["1", "3"], ["2", "3"], ["900", "72"], ["800", "72"]]) {
    await field.fill(entered);
    await field.press("Tab");
    await expect(field).toHaveValue(used);
  }
});

test("a style that cannot be drawn is told in the page's language, with what to change", async ({
  app,
  page,
}) => {
  const failed = page.getByTestId("drawing-failed");
  await app.write(ORDER);
  await page.locator(".style-details > summary").click();
  const enter = async (label) => {
    const field = page.getByLabel(label, { exact: true });
    await field.fill("144");
    await field.press("Tab");
  };
  await enter("Line height, pt");
  await expect(failed).toContainText("lower margin-y or line-height");
  await page.getByRole("button", { name: "Reset the style" }).click();
  await app.drawn();
  await page.getByLabel("Language").selectOption("zh");
  await enter("行高，pt");
  const words = "这个样式的页面放不下两行（2 × 144 > 224.00 pt）。请增大页面，或减小行高、字号或上下边距。";
  await expect(failed).toContainText(`无法渲染页面：${words}`);
});

test("pages are seen before all of them are drawn", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(2_000_000));
  await app.amidDrawing();
  await expect(app.drawing.locator("progress")).toBeVisible();
  const first = number(await app.figure("pages").textContent());
  expect(first).toBeGreaterThan(0);
  await app.drawn();
  expect(number(await app.figure("pages").textContent())).toBeGreaterThan(first);
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

test("the page that is looked at stays while others are drawn", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(2_000_000));
  await app.amidDrawing(".tile");
  const image = page.getByRole("dialog").locator("img");
  await image.evaluate((element) => (element.isTheSame = true));
  await app.drawn();
  expect(await image.evaluate((element) => element.isTheSame)).toBe(true);
});

test("a text with fewer pages than the one that is looked at shows its last", async ({ app, page }) => {
  await app.write(ORDER.repeat(4));
  await app.tiles.last().click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText(/Page \d of \d/);
  await app.openFile("short.txt", "Short.");
  await expect(dialog).toContainText("Page 1 of 1");
  await expect(dialog.locator("img")).toBeVisible();
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

test("the font is fetched once however often the text changes meanwhile", async ({ app, page }) => {
  const font = await holdBack(page, CJK_FONT);
  for (const text of [CHINESE, `${CHINESE}!`, `${CHINESE}!!`]) {
    await app.text.fill(text);
    await expect(app.figure("characters")).toHaveText(String([...text].length));
    // The page waits a little for the next key before it has the text drawn.
    await page.waitForTimeout(600);
    await expect(app.drawing).toContainText("Fetching the font");
  }
  font.letGo();
  await app.drawn();
  expect(font.requests).toHaveLength(1);
  await expect(page.getByTestId("missing")).toHaveCount(0);
});

test("who cancels does not wait for a font", async ({ app, page }) => {
  await holdBack(page, CJK_FONT);
  await app.text.fill(CHINESE);
  await expect(app.drawing).toContainText("Fetching the font");
  await page.getByRole("button", { name: "Cancel" }).press("Enter");
  await expect(app.drawing).toContainText("Cancelled", { timeout: 2000 });
  await expect(page.getByRole("button", { name: "Draw all" })).toBeFocused();
  await app.write("Only English.");
  await expect(app.tiles).toHaveCount(1);
});

test.describe("a font that cannot be fetched", () => {
  test.use({ allowedConsole: /Failed to load resource/ });

  test("is told, and fetched when the person tries again", async ({ app, page }) => {
    await page.route(CJK_FONT, (route) => route.abort(), { times: 1 });
    await app.text.fill(CHINESE);
    const failed = page.getByTestId("drawing-failed");
    await expect(failed).toContainText("The pages cannot be drawn");
    await failed.getByRole("button", { name: "Try again" }).press("Enter");
    await app.drawn();
    await expect(page.getByTestId("missing")).toHaveCount(0);
  });
});

test("characters in no font are counted and named", async ({ app, page }) => {
  await app.write("A hieroglyph: 𓀀𓀀, and a smile.");
  await expect(page.getByTestId("missing")).toContainText("U+13000");
  await expect(page.getByTestId("missing")).toContainText("×2");
});

test("drawing a long text can be cancelled and taken up again", async ({ app, page }) => {
  await app.openFile("long.txt", longText(4_000_000));
  await app.amidDrawing("[data-testid=drawing] button");
  await expect(app.drawing).toContainText("Cancelled");
  const drawn = number(await app.figure("pages").textContent());
  expect(drawn).toBeGreaterThan(0);
  await page.getByRole("button", { name: "Draw all" }).click();
  await app.drawn();
  expect(number(await app.figure("pages").textContent())).toBeGreaterThan(drawn);
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

/** Notes how long the page's thread is blocked from now on, by blocks of 50 ms and more. */
const watchBlocks = (page) =>
  page.evaluate(() => {
    window.blocks = [];
    const note = (entries) => window.blocks.push(...entries.map((entry) => Math.round(entry.duration)));
    const observer = new PerformanceObserver((list) => note(list.getEntries()));
    observer.observe({ type: "longtask" });
    window.allBlocks = () => {
      note(observer.takeRecords());
      return window.blocks;
    };
  });

test("a megabyte is pasted without the page standing still", async ({ app, page }) => {
  await page.getByText("Official Glyph").click();
  await watchBlocks(page);
  expect(await app.paste(longText(1 << 20))).toBe(true);
  await expect(app.figure("characters")).not.toHaveText("0");
  await app.drawn();
  const blocks = await page.evaluate(() => window.allBlocks());
  console.log(`1 MiB is pasted: blocks of the page's thread over 50 ms: ${blocks.join(", ") || "none"} ms`);
  expect(Math.max(0, ...blocks)).toBeLessThanOrEqual(200);
});

test("a megabyte is drawn without the page standing still", async ({ app, browser, page }) => {
  await page.getByText("Official Glyph").click();
  // A file on the disk, as a person has it: Playwright builds others in the page's own thread.
  const file = join(test.info().outputPath(), "megabyte.txt");
  const text = longText(1 << 20);
  await writeFile(file, text);
  await watchBlocks(page);
  await browser.startTracing(page, { categories: ["toplevel"] });
  await page.getByTestId("file").setInputFiles(file);
  await expect(page.getByTestId("file-note")).toContainText("megabyte.txt · UTF-8 · 1.0 MB");
  await app.drawn();
  const blocks = await page.evaluate(() => window.allBlocks());
  const done = tasks(await browser.stopTracing());
  const longest = (key) => done.map((task) => task[key]).sort((a, b) => b - a).slice(0, 5);
  const pages = await app.figure("pages").textContent();
  const longestBlock = Math.max(0, ...blocks);
  console.log(
    `1 MiB, ${pages} pages; blocks of the page's thread over 50 ms: ${blocks.length}, the longest ` +
      `${longestBlock} ms; longest tasks by the trace ${longest("clock")} ms, of that on a processor ` +
      `${longest("processor")} ms`,
  );
  expect(done.length).toBeGreaterThan(100);
  expect(longestBlock).toBeLessThanOrEqual(200);
  const kv = await kvBytesPerToken();
  const tokens = number(await app.figure("vision-tokens").textContent());
  const [ofPages, ofText] = [tokens, text.length].map((n) => bytesShown(n * kv));
  await expect(app.figure("kv")).toHaveText(`${ofPages} · as text ${ofText}`);
});

test("packing many pages says how far it is, and can be ended", async ({ app, page }) => {
  const archives = [];
  page.on("download", (archive) => archives.push(archive));
  await page.getByText("Official Glyph").click();
  await app.openFile("long.txt", longText(600_000));
  await app.drawn();
  const label = await page.getByTestId("download-pages").evaluate(async (button) => {
    const later = () => new Promise((resolve) => setTimeout(resolve));
    button.click();
    await later();
    const packing = button.textContent;
    button.click();
    return packing;
  });
  expect(label).toMatch(/^Packing \d+ of \d+: cancel$/);
  await expect(page.getByTestId("download-pages")).toHaveText("Download pages");
  expect(archives).toHaveLength(0);
  await Promise.all([page.waitForEvent("download"), page.getByTestId("download-pages").click()]);
});
