// A real `glyph serve` for a test: a process of its own on a free port.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A busy machine takes its time to start a program; one that does not start ends and is told at once. */
const START_TIMEOUT_MS = 120_000;

/** A variable that the commands of xtask set. */
export function needed(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set. Run these tests with cargo xtask clients or browser`);
  }
  return value;
}

/** The caller's environment without the options of `glyph`, which would change what is tested. */
export function environment() {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith("GLYPH_")));
}

/** Starts a server; `stop` ends it. */
export async function serve(...options) {
  const args = ["serve", "--host", "127.0.0.1", "--port", "0", ...options];
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
