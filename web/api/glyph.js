// The JavaScript API: draws text to page images and asks a model about them, each in a worker of
// its own. The types are in glyph.d.ts. The page itself uses nothing else.

const home = new URL(".", import.meta.url);

/** How long the list of files may take, as long as a font: what hangs is asked for again by the next who needs it. */
const MOST_LISTING_MS = 120_000;

let listing;

/** The files beside this module: fonts and the built-in model. */
export function assets() {
  listing ??= readListing();
  listing.catch(() => (listing = undefined));
  return listing;
}

async function readListing() {
  const { href } = new URL("assets.json", home);
  const unfetched = (detail, reason) =>
    failed({ message: `${href} cannot be fetched: ${reason}`, code: "network", detail });
  const broken = (error) => {
    throw unfetched(href, error.message);
  };
  const response = await fetch(href, { signal: AbortSignal.timeout(MOST_LISTING_MS) }).catch(broken);
  const { ok, status } = response;
  if (!ok) {
    throw unfetched(`${href}: HTTP ${status}`, `the host answers ${status}`);
  }
  const { fonts, model } = await response.json().catch(broken);
  const absolute = (path) => new URL(path, home).href;
  return {
    fonts: fonts.map((font) => ({ ...font, url: absolute(font.url) })),
    model: { ...model, base: absolute(model.base) },
  };
}

/** An error in words, and for common ones what it is about. */
const failed = ({ message, code, detail }) =>
  Object.assign(new Error(message), code ? { code, detail } : {});

const aborted = () => new DOMException("The work was cancelled.", "AbortError");

/** What a promise gives, unless the signal ends the wait for it. */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const cancel = () => reject(aborted());
    if (signal?.aborted) {
      cancel();
    }
    signal?.addEventListener("abort", cancel, { once: true });
    promise.then(resolve, reject).finally(() => signal?.removeEventListener("abort", cancel));
  });
}

/** A worker that has not begun to listen. */
const unstarted = (href, reason = "it cannot be fetched") =>
  failed({ message: `${href} cannot be started: ${reason}`, code: "network", detail: href });

/** A worker that has ended without words of its own: where no memory is left it has none for them. */
function crashed(content, reason) {
  if (!/unreachable|memory/i.test(reason)) {
    return new Error(reason);
  }
  const advice = "Choose a shorter text or a smaller checkpoint, or run it on a server";
  const message = `the memory of a tab is too small for ${content} (${reason}). ${advice}`;
  return failed({ message, code: "too-large", detail: content });
}

/** A worker that is started when it is first needed, and again after it has crashed. */
class Channel {
  #script;
  #content;
  #worker;
  #ready;
  #giveUp;
  #pending = new Map();
  #lastId = 0;
  /** Why its last worker has ended. */
  error;

  /** `content` is what takes most of its memory. */
  constructor(script, content) {
    this.#script = script;
    this.#content = content;
  }

  #start() {
    const { href } = new URL(this.#script, home);
    const worker = new Worker(href, { type: "module" });
    this.#worker = worker;
    let isReady = false;
    this.#ready = new Promise((resolve, reject) => {
      this.#giveUp = reject;
      // What a worker had sent before it was ended comes late; another one may have its place.
      const isOver = () => this.#worker !== worker;
      worker.onmessage = ({ data }) => {
        if (isOver()) {
          return;
        }
        if (data.type === "ready") {
          isReady = true;
          resolve();
        } else if (data.type === "crashed") {
          this.stop(failed(data.body));
        } else {
          this.#receive(data);
        }
      };
      worker.onerror = (event) => {
        event.preventDefault();
        if (isOver()) {
          return;
        }
        const { message } = event;
        this.stop(isReady ? crashed(this.#content, message) : unstarted(href, message));
      };
    });
    this.#ready.catch(() => {});
  }

  /** Whether there is a worker, and it has not crashed. */
  get isRunning() {
    return this.#worker !== undefined;
  }

  /** Ends the worker; what waits for it is rejected. */
  stop(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.error = error;
    this.#giveUp?.(error);
    for (const request of [...this.#pending.values()]) {
      request.reject(error);
    }
  }

  #receive({ id, type, body }) {
    const request = this.#pending.get(id);
    if (!request) {
      return;
    }
    if (type === "done") {
      request.resolve(body);
    } else if (type === "error") {
      request.reject(failed(body));
    } else if (type === "cancelled") {
      request.reject(aborted());
    } else {
      try {
        request.on[type]?.(body);
      } catch (error) {
        // Nobody would get the rest.
        request.cancel();
        request.reject(error);
      }
    }
  }

  /**
   * Sends the request that `prepare` makes; `on` has a function for each kind of message before the last. A signal
   * ends it at once, unless it has a partial result: what is under way then resolves to what there is.
   */
  request(prepare, { on = {}, signal, hasPartialResult = false } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted());
        return;
      }
      if (!this.#worker) {
        this.#start();
      }
      const worker = this.#worker;
      const id = ++this.#lastId;
      let isSent = false;
      const cancel = () => {
        if (isSent) {
          worker.postMessage({ id: 0, type: "cancel", request: id });
        }
      };
      const abort = () => {
        cancel();
        if (!isSent || !hasPartialResult) {
          request.reject(aborted());
        }
      };
      const ended = (settle) => (outcome) => {
        this.#pending.delete(id);
        signal?.removeEventListener("abort", abort);
        settle(outcome);
      };
      const request = { resolve: ended(resolve), reject: ended(reject), cancel, on };
      this.#pending.set(id, request);
      signal?.addEventListener("abort", abort, { once: true });
      const send = ([message]) => {
        // It may have been ended meanwhile.
        if (this.#pending.has(id)) {
          // An option that is undefined is one that is missing.
          const given = Object.entries(message).filter(([, value]) => value !== undefined);
          worker.postMessage({ ...Object.fromEntries(given), id });
          isSent = true;
        }
      };
      Promise.all([prepare(), this.#ready]).then(send).catch(request.reject);
    });
  }
}

const renderer = new Channel("render-worker_loader.js", "text");

/** The text of a file: UTF-8, UTF-16, GB18030 or windows-1252. */
export async function decodeText(file, { most, encoding, signal } = {}) {
  return renderer.request(() => ({ type: "decode", file, most, encoding }), { signal });
}

/** Draws a text, a string or a blob of UTF-8. Resolves to the figures when the last page has been handed to `onPages`. */
export async function renderPages(text, options = {}) {
  const { style = "official", overrides = {}, rules, onPages, onProgress, signal } = options;
  const prepare = async () => {
    const { fonts } = await assets();
    return { type: "render", text, style, overrides, rules: rules ?? undefined, fonts };
  };
  const pages = (batch) => {
    for (const page of batch) {
      page.blob = new Blob([page.png], { type: "image/png" });
      delete page.png;
    }
    onPages?.(batch);
  };
  return renderer.request(prepare, { on: { pages, progress: onProgress }, signal });
}

/** A zip archive of named blobs. */
export async function zip(entries, { onProgress, signal } = {}) {
  const prepare = () => ({ type: "zip", entries });
  const bytes = await renderer.request(prepare, { on: { progress: onProgress }, signal });
  return new Blob([bytes], { type: "application/zip" });
}

/** Ends the worker that draws, and frees its memory; the next work for it starts another. */
export function closeRenderer() {
  renderer.stop(aborted());
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
      throw this.#channel.error;
    }
    return this.#channel.request(() => message, options);
  }

  async ask(options = {}) {
    const { pages, question, maxTokens, temperature, seed, onToken, onProgress, signal } = options;
    const message = { type: "ask", question, pages, maxTokens, temperature, seed };
    const on = { token: onToken, progress: onProgress };
    return this.#request(message, { on, signal, hasPartialResult: true });
  }

  async countTokens(text, { signal } = {}) {
    return this.#request({ type: "countTokens", text }, { signal });
  }

  close() {
    // Who closes it knows: an answer under way ends as one that was stopped.
    this.#channel.stop(aborted());
  }
}

/** Files of the folder itself: a browser hands out those of all folders in it too. */
const isOutermost = ({ webkitRelativePath = "" }) => webkitRelativePath.split("/").length <= 2;

/** Loads a model: the built-in one, one at a URL, or the files of a folder. */
export async function loadModel(options = {}) {
  const { url, files, device = "auto", onProgress, signal } = options;
  const message = { type: "load", device };
  if (files) {
    message.files = [...files].filter(isOutermost);
    message.name = message.files[0]?.webkitRelativePath?.split("/")[0] || "folder";
  } else if (url) {
    message.base = new URL(url.endsWith("/") ? url : `${url}/`, document.baseURI).href;
    message.name = message.base.split("/").at(-2);
  } else {
    const { model } = await unlessAborted(assets(), signal);
    message.base = model.base;
    message.name = model.name;
    message.listing = model.files;
  }
  const channel = new Channel("model-worker_loader.js", message.name);
  try {
    const info = await channel.request(() => message, { on: { progress: onProgress }, signal });
    return new Model(channel, info);
  } catch (error) {
    // Reading weights does not stop to look for messages: the worker ends instead.
    channel.stop(error);
    throw error;
  }
}

/** Asks a model about pages. */
export async function ask(model, options) {
  return model.ask(options);
}

const CACHE = "glyph-models";

/**
 * Bytes of a kept file. Of a compressed body the header has another length, and what comes from another origin
 * does not tell that it was compressed: only weights, too large to be read for this, are believed.
 */
async function keptBytes({ url }, response) {
  const { headers } = response;
  const isWeights = new URL(url).pathname.endsWith(".safetensors");
  if (isWeights && headers.has("content-length") && !headers.has("content-encoding")) {
    return Number(headers.get("content-length"));
  }
  return (await response.blob()).size;
}

/** Bytes of the models that the browser keeps. */
export async function cachedBytes() {
  if (!globalThis.caches || !(await caches.has(CACHE))) {
    return 0;
  }
  const cache = await caches.open(CACHE);
  const sizes = (await cache.keys()).map(async (request) => {
    const response = await cache.match(request);
    return response ? keptBytes(request, response) : 0;
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
