// A word in the console fails the run, also where the test passed when it was tried again.

import { CONSOLE_IS_NOT_QUIET } from "./browser.js";

export default class ConsoleReporter {
  #noisy = new Set();

  onTestEnd(test, result) {
    if (result.errors.some((error) => error.message?.includes(CONSOLE_IS_NOT_QUIET))) {
      this.#noisy.add(test.titlePath().join(" › "));
    }
  }

  onEnd() {
    if (this.#noisy.size === 0) return undefined;
    for (const title of this.#noisy) {
      console.log(`${CONSOLE_IS_NOT_QUIET}:${title}`);
    }
    return { status: "failed" };
  }

  printsToStdio() {
    return false;
  }
}
