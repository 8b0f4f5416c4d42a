// Times: how long ago, with the date behind it.

import { h } from "../dom.js";
import { ago, moment } from "../format.js";

/** Return a time as people say it. */
export function timeAgo(text) {
  return text === null ? "–" : h("time", { datetime: text, title: moment(text) }, ago(text));
}
