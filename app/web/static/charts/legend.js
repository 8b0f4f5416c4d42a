// Legend of a chart. The style sheet draws the colours.

import { h } from "../dom.js";

/** Return a legend; each entry is [CSS class of the sign, text]. */
export function legend(entries) {
  return h(
    "ul",
    { class: "legend" },
    entries.map(([sign, text]) => h("li", {}, h("span", { class: `sign ${sign}`, "aria-hidden": "true" }), text)),
  );
}
