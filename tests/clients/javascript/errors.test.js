// Errors as the client's own classes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { serve } from "./server.js";

const KEY = "key-of-the-tests";
const HELLO = [{ role: "user", content: "Hello" }];

let server, client, model;

before(async () => {
  server = await serve("--api-key", KEY);
  client = server.client(KEY);
  [{ id: model }] = (await client.models.list()).data;
});

after(() => server?.stop());

async function raised(kind, asked, expected) {
  const error = await asked.then(
    () => assert.fail("it was answered"),
    (error) => error,
  );
  assert.equal(error.constructor, kind, `${error}`);
  const { status, code, param } = error;
  assert.deepEqual({ status, code, param }, expected);
  assert.ok(error.message.length > 20);
}

test("a key is asked for", async () => {
  const expected = { status: 401, code: "invalid_api_key", param: null };
  await raised(OpenAI.AuthenticationError, server.client("wrong").models.list(), expected);
  const asked = server.client(`${KEY}x`).chat.completions.create({ model, messages: HELLO });
  await raised(OpenAI.AuthenticationError, asked, expected);
});

test("a model that is not served is not found", async () => {
  const expected = { status: 404, code: "model_not_found", param: "model" };
  await raised(OpenAI.NotFoundError, client.models.retrieve("another"), expected);
  const asked = client.chat.completions.create({ model: "another", messages: HELLO });
  await raised(OpenAI.NotFoundError, asked, expected);
});

for (const [wrong, param] of [
  [{ temperature: -1 }, "temperature"],
  [{ max_tokens: 0 }, "max_tokens"],
  [{ messages: [] }, "messages"],
  [{ top_p: "much" }, "top_p"],
  [{ stream: "yes" }, "stream"],
]) {
  test(`a wrong value is named: ${JSON.stringify(wrong)}`, async () => {
    const asked = client.chat.completions.create({ model, messages: HELLO, ...wrong });
    const expected = { status: 400, code: "invalid_value", param };
    await raised(OpenAI.BadRequestError, asked, expected);
  });
}

test("an image that is none is refused", async () => {
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
  const messages = [{ role: "user", content: [image] }];
  const param = "messages[0].content[0].image_url.url";
  const expected = { status: 400, code: "invalid_image", param };
  await raised(OpenAI.BadRequestError, client.chat.completions.create({ model, messages }), expected);
});

test("a route that does not exist is not found", async () => {
  const asked = client.embeddings.create({ model, input: "x" });
  await raised(OpenAI.NotFoundError, asked, { status: 404, code: "not_found", param: null });
});

test("a client that gives up is not waited for", async () => {
  const hasty = server.client(KEY, { timeout: 1 });
  const asked = hasty.chat.completions.create({ model, messages: HELLO });
  await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
  const answer = await client.chat.completions.create({ model, messages: HELLO, max_tokens: 2 });
  assert.ok(answer.usage.completion_tokens >= 1);
});
