// Everything that glyph.js offers, used as its types say: `tsc` reads this, nothing runs it.

import {
  type GlyphError,
  type LoadProgress,
  type Model,
  ask,
  assets,
  cachedBytes,
  closeRenderer,
  decodeText,
  deleteCached,
  loadModel,
  renderPages,
  webgpuProblem,
  zip,
} from "../../../web/api/glyph.js";

function stage(progress: LoadProgress): string {
  switch (progress.stage) {
    case "download":
      return progress.fromCache ? "kept" : `${progress.file ?? ""} ${progress.bytes}/${progress.total}`;
    case "device":
    case "weights":
      return `${progress.bytes}`;
    default:
      // No other stage is left.
      return progress.stage satisfies never;
  }
}

function isMissingOption(error: unknown): boolean {
  return error instanceof Error && (error as GlyphError).code === "argument";
}

export async function embed(file: File, folder: HTMLInputElement, signal: AbortSignal): Promise<string> {
  const { text, whole, encoding } = await decodeText(file, { most: 1000, encoding: "GB18030", signal });
  const blobs: Blob[] = [];
  const summary = await renderPages(whole ?? text, {
    style: { dpi: 96, "page-size": "595,842" },
    overrides: { "font-size": 9 },
    onPages: (pages) => blobs.push(...pages.map((page) => page.blob)),
    onProgress: ({ stage, share }) => console.log(stage === "font", share),
    signal,
  });
  await renderPages(text, { style: "official" });
  const problem = await webgpuProblem();
  const model: Model = await loadModel({
    files: folder.files ?? [],
    device: problem === null ? "webgpu" : "cpu",
    onProgress: (progress) => console.log(stage(progress)),
    signal,
  });
  try {
    const answer = await ask(model, { pages: blobs, question: "?", maxTokens: 16, seed: 1, signal });
    await model.ask({ pages: blobs, question: "?", onToken: (piece) => console.log(piece.text, piece.tokens) });
    const tokens = await model.countTokens(text, { signal });
    const archive: Blob = await zip([["page.png", blobs[0] ?? file]], {
      onProgress: ({ done, of }) => console.log(done / of),
    });
    const { fonts } = await assets();
    return [encoding, summary.pngBytes, answer.finishReason, tokens, archive.size, fonts.length].join(" ");
  } catch (error) {
    return isMissingOption(error) ? "a missing option" : String(error);
  } finally {
    model.close();
    closeRenderer();
    if ((await cachedBytes()) > 1e9) {
      await deleteCached();
    }
  }
}

// @ts-expect-error A question is needed.
export const withoutQuestion = (model: Model) => ask(model, { pages: [] });
// @ts-expect-error No such device.
export const onAnotherDevice = () => loadModel({ device: "npu" });
