// What the colours of a chart mean: the colour is drawn by the style sheet, the words are words.

import { h } from "../dom.js";

/** Return a legend; each entry is [class of its sign, text]. */
export function legend(entries) {
  return h(
    "ul",
    { class: "legend" },
    entries.map(([sign, text]) => h("li", {}, h("span", { class: `sign ${sign}`, "aria-hidden": "true" }), text)),
  );
}
