// Poll while the page is visible.

import { ProblemError, UnreachableError } from "./api.js";
import { pause } from "./connection.js";

/**
 * Call `poll` every `seconds` until it returns false or `signal` aborts.
 *
 * Pauses while the page is hidden. While the service is unreachable, the interval doubles up to 30
 * seconds and the page stays as it is. Other errors are thrown. The first call also throws
 * transient error responses.
 */
export async function watch(seconds, signal, poll) {
  let wait = seconds;
  let hasSucceeded = false;
  while (!signal.aborted) {
    try {
      if ((await poll()) === false) {
        return;
      }
      wait = seconds;
      hasSucceeded = true;
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      const isTransient = error instanceof ProblemError && error.isTransient && hasSucceeded;
      if (!(error instanceof UnreachableError || isTransient)) {
        throw error;
      }
      wait = Math.min(30, wait * 2);
    }
    await pause(wait, signal);
    await untilVisible(signal);
  }
}

/** Return a function that tells whether its argument differs from the previous call's. */
export function noticeChange() {
  let last = null;
  return (data) => {
    const now = JSON.stringify(data);
    const isNew = now !== last;
    last = now;
    return isNew;
  };
}

function untilVisible(signal) {
  return new Promise((resolve) => {
    if (!document.hidden || signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      document.removeEventListener("visibilitychange", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done);
  });
}
