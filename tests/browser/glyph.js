// The native program: the server that the page asks, and the answers that the browser must give too.

import { execFile } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { promisify } from "node:util";
import { environment, needed, serve as start } from "../serve.mjs";

const run = promisify(execFile);

/** The built page. */
export const dist = () => needed("GLYPH_WEB");

async function glyph(...args) {
  const options = { env: environment(), maxBuffer: 1 << 26 };
  return (await run(needed("GLYPH_BINARY"), args, options)).stdout;
}

async function withText(text, work) {
  const directory = await mkdtemp(join(tmpdir(), "glyph-browser-"));
  try {
    const file = join(directory, "text.txt");
    await writeFile(file, text);
    return await work(file, directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Options of `glyph ask` for what a tab computes: it keeps keys and values as they are. */
export const AS_IN_A_TAB = ["--kv-cache", "full"];

/** What the native CPU answers about a text. */
export async function nativeAnswer(text, question, maxTokens, ...options) {
  return withText(text, async (file) => {
    const limit = ["--max-tokens", String(maxTokens)];
    return JSON.parse(await glyph("ask", "--text", file, "--json", ...limit, ...options, question));
  });
}

/** Bytes of a PNG file's signature and of IHDR. */
const PNG_HEAD = 8 + 25;

/** A page without the chunk behind IHDR by which `glyph render` knows its own files; all else is the renderer's. */
function withoutMark(page) {
  const length = page.readUInt32BE(PNG_HEAD);
  const kind = page.toString("latin1", PNG_HEAD + 4, PNG_HEAD + 8);
  if (kind !== "tEXt") throw new Error(`tEXt was expected behind IHDR, not ${kind}`);
  // Its length, its name and its checksum have 4 bytes each.
  return Buffer.concat([page.subarray(0, PNG_HEAD), page.subarray(PNG_HEAD + 12 + length)]);
}

/** The PNG files that the native renderer makes of a text. */
export async function nativePages(text, style) {
  return withText(text, async (file, directory) => {
    const out = join(directory, "pages");
    await glyph("render", "--text", file, "--out", out, ...(style ? ["--style", style] : []));
    const names = (await readdir(out)).filter((name) => name.endsWith(".png")).sort();
    const pages = await Promise.all(names.map((name) => readFile(join(out, name))));
    return pages.map(withoutMark);
  });
}

/** A `glyph serve` with the page, on a free port. */
export const serve = (...options) => start("--web", dist(), ...options);

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".ttf": "font/ttf",
  ".wasm": "application/wasm",
};

/** A host that has the page's files in a folder, and nothing else. */
export async function hostFiles({ folder = "/" } = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://h").pathname));
    requests.push(path);
    if (!path.startsWith(folder)) {
      response.writeHead(404).end();
      return;
    }
    const inFolder = path.slice(folder.length - 1);
    const file = join(dist(), inFolder.endsWith("/") ? `${inFolder}index.html` : inFolder);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-length": found.size });
    if (request.method === "HEAD") {
      response.end();
    } else {
      createReadStream(file).pipe(response);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${folder === "/" ? "" : folder}`,
    requests,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}
