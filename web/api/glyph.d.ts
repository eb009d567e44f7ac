// Types of glyph.js.

/** Keys of the render configuration, as docs/RENDERING.md lists them. */
export type StyleKeys = Record<string, string | number | boolean | number[]>;

/** What page sizes and tokens follow from: a checkpoint's preprocessor_config.json. */
export interface SizeRules {
  patchSize: number;
  mergeSize: number;
  temporalPatchSize: number;
  minPixels: number;
  maxPixels: number;
}

export interface Page {
  /** Number of the page, from 0. */
  index: number;
  widthPx: number;
  heightPx: number;
  visionTokens: number;
  /** The page as a PNG file. */
  blob: Blob;
}

export interface RenderOptions {
  /** Keys of a style, or the official style of the text's language. Default: "official". */
  style?: "official" | StyleKeys;
  /** Keys that replace those of `style`. */
  overrides?: StyleKeys;
  /** How vision tokens are counted. Default: the rules of GLM-4.1V. */
  rules?: SizeRules;
  /** Gets the pages as they are made, a few at a time, in order. */
  onPages?: (pages: Page[]) => void;
  /** Gets how far the text has come. */
  onProgress?: (progress: { stage: "font" | "pages"; share: number }) => void;
  /** Ends the work; the promise is then rejected with an AbortError. */
  signal?: AbortSignal;
}

export interface RenderSummary {
  pages: number;
  characters: number;
  visionTokens: number;
  pngBytes: number;
  /** Characters that no font has, drawn as boxes. */
  missing: { character: string; count: number }[];
  /** Fonts that drew what the style's font lacks. */
  borrowed: { font: string; count: number }[];
  /** Fonts that stand in for those that the style names. */
  substitutions: { requested: string; used: string }[];
  /** Whether the text has scripts that are written from right to left or joined; they are drawn one character after the other. */
  hasComplexScripts: boolean;
  /** The style as it was used. */
  style: StyleKeys;
  seconds: number;
}

/** Draws a text to pages. A blob of UTF-8 costs the calling thread nothing, however long it is. */
export function renderPages(text: string | Blob, options?: RenderOptions): Promise<RenderSummary>;

export type Encoding = "UTF-8" | "UTF-16LE" | "UTF-16BE" | "GB18030" | "windows-1252";

export interface DecodedText {
  /** The text, or the beginning of one that is longer than was asked for. */
  text: string;
  /** How the file is written. */
  encoding: Encoding;
  /** Characters of the whole text. */
  characters: number;
  /** Bytes of the whole text in UTF-8. */
  bytes: number;
  /** The whole text in UTF-8, for `renderPages`, where `text` is its beginning. */
  whole: Blob | null;
}

export interface DecodeOptions {
  /** Most characters that `text` has; of a longer text `whole` has the rest too. Default: all. */
  most?: number;
  /** How the file is written, where that is known. Default: found out from its bytes. */
  encoding?: Encoding;
  /** Ends the work; the promise is then rejected with an AbortError. */
  signal?: AbortSignal;
}

/**
 * The text of a file in UTF-8, UTF-16, GB18030 or windows-1252, decoded in the worker. A file with zero bytes
 * is taken for no text unless it is UTF-16, or `encoding` says what it is. Letters such as those of "Größe"
 * could be GB18030 too; where they stand among those of ASCII they are taken for windows-1252.
 */
export function decodeText(file: Blob, options?: DecodeOptions): Promise<DecodedText>;

export interface ZipOptions {
  /** Gets how many of the files have been packed. */
  onProgress?: (progress: { done: number; of: number }) => void;
  /** Ends the work; the promise is then rejected with an AbortError. */
  signal?: AbortSignal;
}

/** A zip archive of named blobs. */
export function zip(entries: [string, Blob][], options?: ZipOptions): Promise<Blob>;

/**
 * Ends the worker that draws, reads texts and packs archives, and frees its memory with the fonts in it. What
 * it is doing is rejected with an AbortError; the next work for it starts another.
 */
export function closeRenderer(): void;

/** A file is fetched, the device is opened, or weights are brought to it. */
export interface LoadProgress {
  stage: "download" | "device" | "weights";
  /** The file that is fetched; at the stage `download` alone. */
  file?: string;
  /** Bytes so far: of the file, or of the weights as the device has them. */
  bytes: number;
  /** All these bytes; 0 where the host of a file does not say. */
  total: number;
  /** Whether the file comes from the browser's cache; at the stage `download` alone. */
  fromCache?: boolean;
}

/**
 * What promises of this module are rejected with. Where a signal or `close` has ended the work it is a
 * DOMException with the name AbortError instead, whatever the signal's reason. An error that one of your
 * functions throws, such as `onPages`, ends the work and is what its promise is rejected with.
 */
export interface GlyphError extends Error {
  /**
   * What kind of error it is, where it is a common one: an option is missing or is of another kind; a file
   * cannot be read, is empty, or is no text; a value of a style cannot be used, a key of it is unknown or
   * missing, or values together leave lines no width, pages no height for two lines, text no colour of its own, or
   * make pages or letters of sizes that cannot be used; a font cannot be used; a file of the checkpoint is missing or is not what its
   * name says; an address answers with a web page or not at all; a file is too large for a tab; there is no
   * WebGPU; the graphics device has failed, which has ended the model's worker; prompt and answer do not fit the
   * model's context.
   */
  code?:
    | "argument"
    | "unreadable"
    | "empty"
    | "binary"
    | "style"
    | "style-unknown"
    | "style-missing"
    | "style-width"
    | "style-height"
    | "style-contrast"
    | "style-pixels"
    | "style-letters"
    | "font"
    | "missing-file"
    | "not-a-checkpoint"
    | "web-page"
    | "network"
    | "too-large"
    | "no-webgpu"
    | "device"
    | "context";
  /** With a code: the option, the key, the file, the address, the figures or the reason that it is about. */
  detail?: string;
}

export interface LoadOptions {
  /** Directory of a checkpoint in the Hugging Face layout. Default: the built-in glyph-mini. */
  url?: string;
  /** Files of such a directory, from <input webkitdirectory>. Those of folders in it are left out. */
  files?: Iterable<File>;
  /** "auto" takes WebGPU where it works, else the CPU. */
  device?: "auto" | "webgpu" | "cpu";
  onProgress?: (progress: LoadProgress) => void;
  /** Ends the work and its worker; the promise is then rejected with an AbortError. */
  signal?: AbortSignal;
}

export interface AskOptions {
  /** The pages as PNG, JPEG or WebP, in order. */
  pages: Blob[];
  question: string;
  /** Longest answer; default 1024, or what the context has left. */
  maxTokens?: number;
  /** Default: the checkpoint's own. */
  temperature?: number;
  seed?: number;
  onToken?: (piece: { text: string; tokens: number }) => void;
  onProgress?: (progress: { stage: "encode" | "prefill"; done: number; of: number }) => void;
  /**
   * Ends the answer; the promise resolves to what there is of it. Where the question has not been sent yet, because
   * the signal is aborted before the call or straight after it, the promise is rejected with an AbortError.
   */
  signal?: AbortSignal;
}

export interface Answer {
  text: string;
  finishReason: "stop" | "length" | "cancelled";
  promptTokens: number;
  imageTokens: number;
  answerTokens: number;
  firstTokenS: number;
  decodeS: number;
}

export interface Model {
  readonly name: string;
  readonly device: "webgpu" | "cpu";
  /** The adapter's name, on WebGPU. */
  readonly adapter: string | null;
  /** Why WebGPU is not used although it was wanted, in English. */
  readonly fallbackReason: string | null;
  /** Tokens of prompt and answer together. */
  readonly contextTokens: number;
  readonly kvBytesPerToken: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly fromCache: boolean;
  /** Why the browser could not keep the files, in English. */
  readonly cacheError: string | null;
  /** How text is drawn for this model: its render.json. */
  readonly style: StyleKeys | null;
  readonly rules: SizeRules;
  /** Whether a token of text is one byte. */
  readonly isByteLevel: boolean;
  ask(options: AskOptions): Promise<Answer>;
  countTokens(text: string | Blob, options?: { signal?: AbortSignal }): Promise<number>;
  /**
   * Whether its worker has ended: closed, crashed, or left by its device. What it is asked for then is rejected with
   * the reason, and another model must be loaded.
   */
  readonly isClosed: boolean;
  /** Ends the worker and frees its memory. What it is doing or asked for later is rejected with an AbortError. */
  close(): void;
}

/** Loads a model into a worker of its own. A checkpoint at a `url` is kept too; the host is asked each time whether it has changed. */
export function loadModel(options?: LoadOptions): Promise<Model>;

/** Asks a model about pages. */
export function ask(model: Model, options: AskOptions): Promise<Answer>;

/** Bytes of the models that the browser keeps, as the hosts of their files told them. */
export function cachedBytes(): Promise<number>;

/** Deletes the models that the browser keeps. */
export function deleteCached(): Promise<void>;

/** Why WebGPU cannot be used, or null where it can. */
export function webgpuProblem(): Promise<"insecure" | "unsupported" | "no-adapter" | null>;

/** The files beside this module: fonts and the built-in model. */
export function assets(): Promise<{
  fonts: { name: string; url: string; bytes: number }[];
  model: { name: string; base: string; files: { name: string; bytes: number }[] };
}>;
