// What state a thing is in: a colour, a sign and a word, so that none is needed to see it.

import { h } from "../dom.js";
import { icon } from "./icons.js";

const STATES = {
  validating: ["busy", "clock", "Checking"],
  ready: ["good", "check", "Ready"],
  rejected: ["bad", "cross", "Refused"],
  queued: ["idle", "clock", "Queued"],
  running: ["busy", "dot", "Running"],
  pausing: ["warn", "pause", "Pausing"],
  paused: ["warn", "pause", "Paused"],
  cancelling: ["idle", "stop", "Cancelling"],
  cancelled: ["idle", "stop", "Cancelled"],
  succeeded: ["good", "check", "Succeeded"],
  partial: ["warn", "warning", "Partly done"],
  failed: ["bad", "cross", "Failed"],
  expired: ["idle", "clock", "Expired"],
};

export const FINAL = new Set(["succeeded", "failed", "cancelled", "expired"]);

/** Return the word for a state. */
export function stateWord(state) {
  return STATES[state]?.[2] ?? state;
}

/** Return a badge for a state. */
export function badge(state) {
  const [tone, sign, word] = STATES[state] ?? ["idle", "ring", state];
  return h("span", { class: `badge is-${tone}`, data: { state } }, icon(sign), word);
}
