// Relative times with the date as a tooltip.

import { h } from "../dom.js";
import { ago, moment } from "../format.js";

/** Return a relative time such as "3 minutes ago". */
export function timeAgo(text) {
  return text === null ? "–" : h("time", { datetime: text, title: moment(text) }, ago(text));
}
