// How Chromium is started.

const QUIET = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--disable-sync",
  "--no-first-run",
  "--no-pings",
];

/** Arguments of a Chromium with WebGPU on a software adapter, or without WebGPU. */
export function browserArguments({ webgpu }) {
  const gpu = webgpu ? ["--enable-unsafe-webgpu"] : ["--disable-features=WebGPU", "--disable-gpu"];
  return [...QUIET, ...gpu];
}

/** What a test says whose console has errors or warnings. */
export const CONSOLE_IS_NOT_QUIET = "the console has errors or warnings";
