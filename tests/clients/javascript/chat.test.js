// Models, chat, images and completions with OpenAI's client.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { joined, serve } from "./server.js";

const TEXT = Array.from({ length: 9 }, (_, day) => `${day + 1} May: order ${4700 + day}.`).join("\n");
const HELLO = [{ role: "user", content: "Say hello." }];

let server, client, model;

before(async () => {
  server = await serve();
  client = server.client();
  [{ id: model }] = (await client.models.list()).data;
});

after(() => server?.stop());

const ask = (more) =>
  client.chat.completions.create({ model, messages: HELLO, max_tokens: 24, temperature: 0, ...more });

async function pages() {
  const body = JSON.stringify({ text: TEXT });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${server.url}/v1/pages`, { method: "POST", headers, body });
  assert.equal(answer.status, 200);
  return answer.json();
}

test("the model is listed and described", async () => {
  const listed = [];
  for await (const one of client.models.list()) {
    listed.push(one.id);
  }
  assert.deepEqual(listed, [model]);
  const described = await client.models.retrieve(model);
  assert.equal(described.id, model);
  assert.equal(described.object, "model");
});

for (const content of ["Hello", "你好,世界", "Ünïcode — 🙂"]) {
  test(`a streamed answer is the whole one: ${content}`, async () => {
    const messages = [{ role: "user", content }];
    const whole = await ask({ messages });
    const [choice] = whole.choices;
    assert.equal(choice.message.role, "assistant");
    assert.equal(whole.model, model);
    const streamed = await joined(await ask({ messages, stream: true }));
    assert.equal(streamed.text, choice.message.content);
    assert.deepEqual(streamed.finishReasons, [choice.finish_reason]);
    assert.deepEqual(streamed.usages, []);
  });
}

test("usage is true in both forms", async () => {
  const { usage } = await ask();
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  const options = { stream: true, stream_options: { include_usage: true } };
  const { usages } = await joined(await ask(options));
  assert.equal(usages.length, 1);
  assert.equal(usages[0].prompt_tokens, usage.prompt_tokens);
  assert.equal(usages[0].completion_tokens, usage.completion_tokens);
});

test("logprobs come with every token", async () => {
  const options = { logprobs: true, top_logprobs: 2 };
  const whole = await ask(options);
  const entries = whole.choices[0].logprobs.content;
  assert.ok(entries.length > 0);
  assert.ok(entries.every((entry) => entry.logprob <= 0 && entry.top_logprobs.length === 2));
  const streamed = await joined(await ask({ ...options, stream: true }));
  assert.deepEqual(
    streamed.logprobs.map((entry) => entry.token),
    entries.map((entry) => entry.token),
  );
});

test("a seed draws the same answer again", async () => {
  const drawn = async (seed) =>
    (await ask({ temperature: 100, seed, max_tokens: 48 })).choices[0].message.content;
  const first = [await drawn(1), await drawn(2)];
  assert.deepEqual([await drawn(1), await drawn(2)], first);
});

test("pages are read as images and counted", async () => {
  const drawn = await pages();
  assert.ok(drawn.pages.length > 1);
  const parts = drawn.pages.map(({ png }) => ({
    type: "image_url",
    image_url: { url: `data:image/png;base64,${png}` },
  }));
  const messages = [{ role: "user", content: [...parts, { type: "text", text: "Which order?" }] }];
  const whole = await ask({ messages });
  assert.equal(whole.usage.prompt_tokens_details.image_tokens, drawn.vision_tokens);
  const streamed = await joined(await ask({ messages, stream: true }));
  assert.equal(streamed.text, whole.choices[0].message.content);
});

test("fields beyond OpenAI's are taken", async () => {
  const extra = { top_k: 1, repetition_penalty: 1.1, skip_special_tokens: false, stop_token_ids: [] };
  const whole = await ask(extra);
  const streamed = await joined(await ask({ ...extra, stream: true }));
  assert.equal(streamed.text, whole.choices[0].message.content);
});

test("the stream helper of the client reads it", async () => {
  const stream = client.chat.completions.stream({ model, messages: HELLO, max_tokens: 24, temperature: 0 });
  const final = await stream.finalContent();
  // An answer of nothing but thinking has no content in the stream.
  assert.equal(final ?? "", (await ask()).choices[0].message.content);
});

test("a caller may leave in the middle of a stream", async () => {
  const stream = await ask({ temperature: 100, seed: 1, max_tokens: 400, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  assert.ok((await ask()).choices.length === 1);
});

test("callers together get their own answers", async () => {
  const bodies = Array.from({ length: 6 }, (_, index) => ({
    messages: [{ role: "user", content: `Caller ${index}, number ${index * 7}.` }],
  }));
  const content = (answer) => answer.choices[0].message.content;
  const alone = [];
  for (const body of bodies) {
    alone.push(content(await ask(body)));
  }
  const together = await Promise.all(bodies.map(ask));
  assert.deepEqual(together.map(content), alone);
});

test("a text is gone on with", async () => {
  const body = { model, prompt: "One, two,", max_tokens: 12, temperature: 0 };
  const whole = await client.completions.create(body);
  let text = "";
  for await (const chunk of await client.completions.create({ ...body, stream: true })) {
    text += chunk.choices[0].text;
  }
  assert.equal(text, whole.choices[0].text);
});
