// The native program: the server that the page asks, and the answers that the browser must give too.

import { execFile, spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const START_TIMEOUT_MS = 120_000;

function needed(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set. Run these tests with cargo xtask browser`);
  }
  return value;
}

/** The built page. */
export const dist = () => needed("GLYPH_WEB");

// Options of the caller's environment would change what is tested.
function environment() {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith("GLYPH_")));
}

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

/** What the native CPU answers about a text. */
export async function nativeAnswer(text, question, maxTokens) {
  return withText(text, async (file) => {
    const limit = ["--max-tokens", String(maxTokens)];
    return JSON.parse(await glyph("ask", "--text", file, "--json", ...limit, question));
  });
}

/** The PNG files that the native renderer makes of a text. */
export async function nativePages(text, style) {
  return withText(text, async (file, directory) => {
    const out = join(directory, "pages");
    await glyph("render", "--text", file, "--out", out, ...(style ? ["--style", style] : []));
    const names = (await readdir(out)).filter((name) => name.endsWith(".png")).sort();
    return Promise.all(names.map((name) => readFile(join(out, name))));
  });
}

/** A `glyph serve` with the page, on a free port. */
export async function serve(...options) {
  const args = ["serve", "--host", "127.0.0.1", "--port", "0", "--web", dist(), ...options];
  const child = spawn(needed("GLYPH_BINARY"), args, {
    env: environment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("glyph serve is not ready")), START_TIMEOUT_MS);
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = /is ready at (http:\S+)/.exec(line);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    });
    ended.then((code) => reject(new Error(`glyph serve has ended with ${code}`)));
  }).catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  return {
    url,
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      return ended;
    },
  };
}

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".ttf": "font/ttf",
  ".wasm": "application/wasm",
};

/** A host that has the page's files and nothing else. */
export async function hostFiles() {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://h").pathname));
    requests.push(path);
    const file = join(dist(), path.endsWith("/") ? `${path}index.html` : path);
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
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}
