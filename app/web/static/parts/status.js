// Status badges: colour, icon and word, so no single one of them is needed to understand it.

import { h } from "../dom.js";
import { icon } from "./icons.js";

const STATES = {
  validating: ["busy", "clock", "Validating"],
  ready: ["good", "check", "Ready"],
  rejected: ["bad", "cross", "Rejected"],
  queued: ["idle", "clock", "Queued"],
  running: ["busy", "dot", "Running"],
  pausing: ["warn", "pause", "Pausing"],
  paused: ["warn", "pause", "Paused"],
  cancelling: ["idle", "stop", "Cancelling"],
  cancelled: ["idle", "stop", "Cancelled"],
  succeeded: ["good", "check", "Succeeded"],
  partial: ["warn", "warning", "Partially done"],
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
