// Servers with the API of OpenAI that answer as a test wants: what a real one does in no way that a test could
// bring about.

import { createServer } from "node:http";

async function textOf(request) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Starts a server that pages of every origin may ask. */
async function listen(handle) {
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "authorization, content-type");
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    handle(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A server that names the models that a test wants, when it wants, and keeps the headers it was sent. */
export async function standIn(answer) {
  const requests = [];
  const server = await listen((request, response) => {
    requests.push(request.headers);
    const send = (...names) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ data: names.map((id) => ({ id })) }));
    };
    answer(send, request.headers);
  });
  return { ...server, requests, keys: () => requests.map((headers) => headers.authorization) };
}

/** A streamed answer, written by the test. */
class Stream {
  #response;

  constructor(response) {
    this.#response = response;
    response.writeHead(200, { "content-type": "text/event-stream" });
    /** Resolves when either side has hung up. */
    this.closed = new Promise((resolve) => response.on("close", resolve));
  }

  /** Sends events in one go: objects, or the data of an event as it is. */
  send(...events) {
    const data = events.map((event) => (typeof event === "string" ? event : JSON.stringify(event)));
    this.#response.write(data.map((text) => `data: ${text}\n\n`).join(""));
  }

  /** Sends words of the answer, each in an event of its own. */
  say(...words) {
    this.send(...words.map((content) => ({ choices: [{ delta: { content } }] })));
  }

  /** Ends the answer, and leaves the connection as it is. */
  finish(reason = "stop") {
    this.send({ choices: [{ delta: {}, finish_reason: reason }] }, "[DONE]");
  }

  /** Hangs up. */
  break() {
    this.#response.destroy();
  }
}

/**
 * A server with `models`, names or objects of its list. A token of its is a character. Questions are kept in
 * `questions`, each with its body and its stream, to which the test writes, unless `answer` does. `replies` has
 * status and body for routes that answer otherwise.
 */
export async function fakeServer({ models = ["another"], answer, replies = {} } = {}) {
  const requests = [];
  const questions = [];
  const list = models.map((model) => (typeof model === "string" ? { id: model } : model));
  const server = await listen(async (request, response) => {
    const route = request.url;
    const text = await textOf(request);
    const body = text ? JSON.parse(text) : undefined;
    requests.push({ route, body });
    const json = (status, value) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    if (replies[route]) {
      json(replies[route].status, replies[route].body);
    } else if (route === "/v1/models") {
      json(200, { data: list });
    } else if (route === "/v1/tokenize") {
      json(200, { text_tokens: [...body.messages[0].content].length });
    } else {
      const stream = new Stream(response);
      questions.push({ body, stream });
      answer?.(stream, questions.length);
    }
  });
  return {
    ...server,
    questions,
    /** How many requests there were to a route. */
    asked: (route) => requests.filter((request) => request.route === route).length,
  };
}
