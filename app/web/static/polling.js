// Asking again and again, while somebody looks.

import { ProblemError, UnreachableError } from "./api.js";
import { pause } from "./connection.js";

/**
 * Call `look` now and then every few seconds, until `signal` says so or it returns false.
 *
 * A page that is hidden does not ask. While the service is away it waits a little longer each time,
 * and what is shown stays; what else goes wrong is thrown, and the first time everything is.
 */
export async function watch(seconds, signal, look) {
  let wait = seconds;
  let hasSeen = false;
  while (!signal.aborted) {
    try {
      if ((await look()) === false) {
        return;
      }
      wait = seconds;
      hasSeen = true;
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      const isPassing = error instanceof ProblemError && error.isPassing && hasSeen;
      if (!(error instanceof UnreachableError || isPassing)) {
        throw error;
      }
      wait = Math.min(30, wait * 2);
    }
    await pause(wait, signal);
    await untilVisible(signal);
  }
}

/** Return a function that says whether what it is given is other than the last time. */
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
