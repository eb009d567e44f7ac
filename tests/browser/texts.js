// Texts of the tests.

import { readFileSync } from "node:fs";

export const ORDER = readFileSync(
  new URL("../../crates/glyph-cli/samples/order.txt", import.meta.url),
  "utf8",
);

export const CHINESE = "床前明月光,疑是地上霜。举头望明月,低头思故乡。\nGlyph 把长文本渲染成图像。";

/** A text of about so many bytes, no two lines of it alike. */
export function longText(bytes) {
  const lines = [];
  let length = 0;
  for (let n = 0; length < bytes; n += 1) {
    const line = `${n}. The quick brown fox jumps over the lazy dog ${n * 7919} times before noon.`;
    lines.push(line);
    length += line.length + 1;
  }
  return lines.join("\n");
}
