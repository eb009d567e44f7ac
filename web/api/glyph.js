// The JavaScript API: draws text to page images and asks a model about them, each in a worker of
// its own. The types are in glyph.d.ts. The page itself uses nothing else.

const home = new URL(".", import.meta.url);

let listing;

/** The files beside this module: fonts and the built-in model. */
export function assets() {
  listing ??= fetch(new URL("assets.json", home)).then(async (response) => {
    if (!response.ok) {
      throw new Error(`${response.url} cannot be fetched: the host answers ${response.status}`);
    }
    const { fonts, model } = await response.json();
    const absolute = (path) => new URL(path, home).href;
    return {
      fonts: fonts.map((font) => ({ ...font, url: absolute(font.url) })),
      model: { ...model, base: absolute(model.base) },
    };
  });
  listing.catch(() => (listing = undefined));
  return listing;
}

/** An error of a worker: its words, and for common ones what it is about. */
const failed = ({ message, code, detail }) =>
  Object.assign(new Error(message), code ? { code, detail } : {});

const aborted = () => new DOMException("The work was cancelled.", "AbortError");

/** A worker that is started when it is first needed, and again after it has crashed. */
class Channel {
  #script;
  #worker;
  #ready;
  #giveUp;
  #pending = new Map();
  #lastId = 0;

  constructor(script) {
    this.#script = script;
  }

  #start() {
    const worker = new Worker(new URL(this.#script, home), { type: "module" });
    this.#worker = worker;
    this.#ready = new Promise((resolve, reject) => {
      this.#giveUp = reject;
      worker.onmessage = ({ data }) => {
        if (data.type === "ready") {
          resolve();
        } else if (data.type === "crashed") {
          this.#fail(new Error(`the worker has crashed: ${data.body}`));
        } else {
          this.#receive(data);
        }
      };
      worker.onerror = (event) => {
        event.preventDefault();
        this.#fail(new Error(event.message || `${this.#script} cannot be loaded`));
      };
    });
    this.#ready.catch(() => {});
  }

  /** Whether there is a worker, and it has not crashed. */
  get isRunning() {
    return this.#worker !== undefined;
  }

  #fail(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#giveUp?.(error);
    for (const { reject } of this.#pending.values()) {
      reject(error);
    }
    this.#pending.clear();
  }

  #receive({ id, type, body }) {
    const request = this.#pending.get(id);
    if (!request) {
      return;
    }
    if (type === "done") {
      this.#pending.delete(id);
      request.resolve(body);
    } else if (type === "error") {
      this.#pending.delete(id);
      request.reject(failed(body));
    } else if (type === "cancelled") {
      this.#pending.delete(id);
      request.reject(aborted());
    } else {
      request.on[type]?.(body);
    }
  }

  /** Sends a request; `on` has a function for each kind of message before the last. */
  async request(message, { on = {}, signal } = {}) {
    signal?.throwIfAborted();
    if (!this.#worker) {
      this.#start();
    }
    await this.#ready;
    signal?.throwIfAborted();
    const id = ++this.#lastId;
    const cancel = () => this.#worker?.postMessage({ id: 0, type: "cancel", request: id });
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, on });
        this.#worker.postMessage({ ...message, id });
      });
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Ends the worker; what waits for it is rejected. */
  stop(error = new Error("the worker was stopped")) {
    this.#fail(error);
  }
}

const renderer = new Channel("render-worker_loader.js");

/** The text of a file: UTF-8, UTF-16 or GB18030. */
export function decodeText(file, { most, encoding } = {}) {
  return renderer.request({ type: "decode", file, most, encoding });
}

/** Draws a text, a string or a blob of UTF-8. Resolves to the figures when the last page has been handed to `onPages`. */
export async function renderPages(text, options = {}) {
  const { style = "official", overrides = {}, rules, onPages, onProgress, signal } = options;
  const { fonts } = await assets();
  const message = { type: "render", text, style, overrides, fonts };
  if (rules) {
    message.rules = rules;
  }
  const pages = (batch) => {
    for (const page of batch) {
      page.blob = new Blob([page.png], { type: "image/png" });
      delete page.png;
    }
    onPages?.(batch);
  };
  return renderer.request(message, { on: { pages, progress: onProgress }, signal });
}

/** A zip archive of named blobs. */
export async function zip(entries) {
  const bytes = await renderer.request({ type: "zip", entries });
  return new Blob([bytes], { type: "application/zip" });
}

/** A model in a worker; `loadModel` makes it. */
class Model {
  #channel;

  constructor(channel, info) {
    this.#channel = channel;
    Object.assign(this, info);
  }

  /** Whether its worker has ended: another one would know nothing of the model. */
  get isClosed() {
    return !this.#channel.isRunning;
  }

  async #request(message, options) {
    if (this.isClosed) {
      throw new Error("the model's worker has ended: load the model again");
    }
    return this.#channel.request(message, options);
  }

  ask(options) {
    const { pages, question, maxTokens, temperature, seed, onToken, onProgress, signal } = options;
    const message = { type: "ask", question, pages, maxTokens, temperature, seed };
    return this.#request(message, { on: { token: onToken, progress: onProgress }, signal });
  }

  countTokens(text) {
    return this.#request({ type: "countTokens", text });
  }

  close() {
    // Who closes it knows: an answer under way ends as one that was stopped.
    this.#channel.stop(aborted());
  }
}

/** Loads a model: the built-in one, one at a URL, or the files of a folder. */
export async function loadModel(options = {}) {
  const { url, files, device = "auto", onProgress, signal } = options;
  const message = { type: "load", device };
  if (files) {
    message.files = [...files];
    message.name = message.files[0]?.webkitRelativePath.split("/")[0] || "folder";
  } else if (url) {
    message.base = new URL(url.endsWith("/") ? url : `${url}/`, document.baseURI).href;
    message.name = message.base.split("/").at(-2);
  } else {
    const { model } = await assets();
    message.base = model.base;
    message.name = model.name;
    message.listing = model.files.map((file) => file.name);
  }
  const channel = new Channel("model-worker_loader.js");
  // Reading weights does not stop to look for messages: the worker ends instead.
  const end = () => channel.stop(aborted());
  signal?.addEventListener("abort", end, { once: true });
  try {
    const info = await channel.request(message, { on: { progress: onProgress } });
    signal?.throwIfAborted();
    return new Model(channel, info);
  } catch (error) {
    channel.stop();
    throw error;
  } finally {
    signal?.removeEventListener("abort", end);
  }
}

/** Asks a model about pages. */
export function ask(model, options) {
  return model.ask(options);
}

const CACHE = "glyph-models";

/** Bytes of the models that the browser keeps. */
export async function cachedBytes() {
  if (!globalThis.caches || !(await caches.has(CACHE))) {
    return 0;
  }
  const cache = await caches.open(CACHE);
  const sizes = (await cache.keys()).map(async (request) => {
    const response = await cache.match(request);
    return response ? (await response.blob()).size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Deletes the models that the browser keeps. */
export async function deleteCached() {
  await globalThis.caches?.delete(CACHE);
}

/** Why WebGPU cannot be used, or null where it can. */
export async function webgpuProblem() {
  if (!globalThis.isSecureContext) {
    return "insecure";
  }
  if (!navigator.gpu) {
    return "unsupported";
  }
  return (await navigator.gpu.requestAdapter()) ? null : "no-adapter";
}
