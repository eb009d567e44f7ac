import { defineConfig } from "@playwright/test";
import { browserArguments } from "./browser.js";

export default defineConfig({
  testMatch: "*.spec.js",
  // A software adapter and the model's CPU path take whole cores.
  workers: 1,
  // Where others use the machine too, everything takes many times as long. What is waited for is looked
  // at all the time, so a test that passes is as quick as the machine.
  timeout: 600_000,
  expect: { timeout: 120_000 },
  // A browser that the system has stopped for too long is tried again, and reported as flaky. What it said in its
  // console is not forgiven.
  retries: 1,
  reporter: [["list"], ["./console-reporter.js"]],
  outputDir: process.env.PLAYWRIGHT_OUTPUT ?? "./node_modules/.results",
  use: {
    // What cannot be pressed by then never can.
    actionTimeout: 120_000,
    navigationTimeout: 120_000,
    viewport: { width: 1360, height: 900 },
    locale: "en-GB",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: browserArguments({ webgpu: true }),
    },
  },
});
