// A real `glyph serve` for a test: a process of its own on a free port.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import OpenAI from "openai";

const START_TIMEOUT_MS = 60_000;

// Options of the caller's environment would change what is tested.
function environment() {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith("GLYPH_")));
}

/** Starts a server; `stop` ends it. */
export async function serve(...options) {
  const binary = process.env.GLYPH_BINARY;
  if (!binary) {
    throw new Error("GLYPH_BINARY is not set. Run these tests with cargo xtask clients");
  }
  const address = ["--host", "127.0.0.1", "--port", "0"];
  const child = spawn(binary, ["serve", ...address, ...options], {
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
    /** OpenAI's client for this server. It asks once only, so that errors are seen. */
    client: (apiKey = "none", more = {}) =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 60_000, ...more }),
    stop: async () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** The text and the last chunks of a chat stream. */
export async function joined(stream) {
  const whole = { text: "", finishReasons: [], usages: [], logprobs: [] };
  for await (const chunk of stream) {
    if (chunk.usage) {
      whole.usages.push(chunk.usage);
      continue;
    }
    const [choice] = chunk.choices;
    whole.text += choice.delta.content ?? "";
    whole.logprobs.push(...(choice.logprobs?.content ?? []));
    if (choice.finish_reason !== null) {
      whole.finishReasons.push(choice.finish_reason);
    }
  }
  return whole;
}
