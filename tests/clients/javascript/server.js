// A real `glyph serve` for a test, with OpenAI's client.

import OpenAI from "openai";
import { serve as start } from "../../serve.mjs";

/** Starts a server; `stop` ends it. */
export async function serve(...options) {
  const server = await start(...options);
  return {
    ...server,
    /** OpenAI's client for this server. It asks once only, so that errors are seen. */
    client: (apiKey = "none", more = {}) =>
      new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0, timeout: 60_000, ...more }),
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
