// Polite live region for screen readers. It announces changes of state but not progress, and waits
// between messages so that each can be read out.

import { h } from "./dom.js";

const SECONDS_BETWEEN = 4;
const region = h("div", { role: "status", class: "unseen" });
let waiting = null;
let lastAt = -Infinity;

/** Add the live region to the document. */
export function installAnnouncer() {
  document.body.append(region);
}

/** Announce a text. It replaces a pending message. */
export function announce(text) {
  clearTimeout(waiting);
  const wait = lastAt + SECONDS_BETWEEN * 1000 - performance.now();
  if (wait <= 0) {
    speak(text);
  } else {
    waiting = setTimeout(speak, wait, text);
  }
}

function speak(text) {
  lastAt = performance.now();
  region.textContent = text;
}
