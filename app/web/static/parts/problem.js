// Error messages from the service with advice for the user, notices and empty states.

import { ProblemError, UnreachableError } from "../api.js";
import { h } from "../dom.js";
import { icon } from "./icons.js";

// Advice by error code (docs/errors.md). Codes whose messages suffice are omitted.
const ADVICE = {
  unauthenticated: "Enter a valid API key.",
  forbidden: "Use a key with that scope: secateur keys create --scope …",
  not_found: "It may have been deleted, or it belongs to another tenant.",
  conflict: "Reload to see its current status.",
  storage_quota: "Delete models or data sets that you do not need, or ask for a larger quota.",
  compute_quota: "Wait until midnight (UTC), or ask for a larger quota.",
  too_many_jobs: "Wait until some of your queued jobs have finished.",
  rate_limited: "Wait a moment.",
  unavailable: "Try again in a moment. If it happens again, tell the operator.",
  busy: "Try again in a moment.",
  overloaded: "Try again in a moment.",
  internal: "Try again. If it happens again, tell the operator the request id.",
};

/** Return a panel for an error, with a retry button if `retry` is given. */
export function problemPanel(error, { retry = null, title = null } = {}) {
  const { heading, text, notes } = wordsFor(error);
  return h(
    "section",
    { class: "notice is-bad", role: "alert" },
    icon("warning"),
    h(
      "div",
      {},
      h("p", { class: "notice-title" }, title ?? heading),
      h("p", { class: "lines" }, text),
      notes.map((note) => h("p", { class: "small quiet" }, note)),
      retry && h("p", {}, h("button", { type: "button", class: "button", on: { click: retry } }, "Try again")),
    ),
  );
}

function wordsFor(error) {
  if (error instanceof UnreachableError) {
    return {
      heading: "The service cannot be reached",
      text: "It may be restarting, or the network is down. This page continues when the service responds.",
      notes: [],
    };
  }
  if (error instanceof ProblemError) {
    const { title, code, request_id: requestId } = error.problem;
    const facts = [`Code: ${code}`, requestId && `Request: ${requestId}`].filter(Boolean);
    return {
      heading: title || `Error ${error.status}`,
      text: error.message,
      notes: [ADVICE[code], facts.join(" · ")].filter(Boolean),
    };
  }
  console.error(error);
  return {
    heading: "Something went wrong on this page",
    text: "Reload the page. If it happens again, it is a bug in the dashboard.",
    notes: [String(error)],
  };
}

/** Return a notice in one of the tones of badges. */
export function notice(tone, title, ...children) {
  const sign = { good: "check", warn: "warning", bad: "warning", busy: "clock", idle: "dot" }[tone];
  return h(
    "section",
    { class: `notice is-${tone}` },
    icon(sign),
    h("div", {}, title && h("p", { class: "notice-title" }, title), children),
  );
}

/** Return a placeholder for an empty list. */
export function emptyState(title, text, ...actions) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    h("p", { class: "quiet" }, text),
    actions.length > 0 && h("p", { class: "actions" }, actions),
  );
}

/** Return a loading message with a spinner. */
export function loading(what) {
  return h("p", { class: "loading" }, h("span", { class: "spinner", "aria-hidden": "true" }), what);
}
