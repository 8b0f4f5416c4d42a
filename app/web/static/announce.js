// One polite voice for screen readers. It says what changed state, never what ticks, and it is
// given time to finish.

import { h } from "./dom.js";

const SECONDS_BETWEEN = 4;
const voice = h("div", { role: "status", class: "unseen" });
let waiting = null;
let spokeAt = -Infinity;

/** Put the voice into the document. */
export function installVoice() {
  document.body.append(voice);
}

/** Say something; what was to be said before and was not yet, is not said any more. */
export function announce(text) {
  clearTimeout(waiting);
  const wait = spokeAt + SECONDS_BETWEEN * 1000 - performance.now();
  if (wait <= 0) {
    speak(text);
  } else {
    waiting = setTimeout(speak, wait, text);
  }
}

function speak(text) {
  spokeAt = performance.now();
  voice.textContent = text;
}
