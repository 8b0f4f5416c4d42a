// What went wrong, in the service's own words, and what can be done about it.

import { ProblemError, UnreachableError } from "../api.js";
import { h } from "../dom.js";
import { icon } from "./icons.js";

// By the stable codes of docs/errors.md; those that explain themselves are not here.
const ADVICE = {
  unauthenticated: "Enter an API key that is valid.",
  forbidden: "Use a key with that scope: secateur keys create --scope …",
  not_found: "It may have been deleted, or it belongs to another tenant.",
  conflict: "Look again at what state it is in now.",
  storage_quota: "Delete models or data sets that are not needed, or ask for a larger quota.",
  compute_quota: "Wait until midnight (UTC), or ask for a larger quota.",
  too_many_jobs: "Wait until some of the waiting jobs are done.",
  rate_limited: "Wait a moment.",
  unavailable: "Try again in a moment. If it stays away, its operator should know.",
  busy: "Try again in a moment.",
  overloaded: "Try again in a moment.",
  internal: "Try again. If it happens again, tell the operator the request id.",
};

/** Return a panel that tells of an error; `retry` is offered where there is one. */
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
      text: "It may be restarting, or the network is down. This page goes on as soon as it answers.",
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
    heading: "Something broke on this page",
    text: "Reload it. If it happens again, it is a defect of the dashboard.",
    notes: [String(error)],
  };
}

/** Return a notice that is no error: of a `tone` that badges have. */
export function notice(tone, title, ...children) {
  const sign = { good: "check", warn: "warning", bad: "warning", busy: "clock", idle: "dot" }[tone];
  return h(
    "section",
    { class: `notice is-${tone}` },
    icon(sign),
    h("div", {}, title && h("p", { class: "notice-title" }, title), children),
  );
}

/** Return what is shown where there is nothing yet. */
export function emptyState(title, text, ...actions) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    h("p", { class: "quiet" }, text),
    actions.length > 0 && h("p", { class: "actions" }, actions),
  );
}

/** Return what is shown while something is on its way. */
export function loading(what) {
  return h("p", { class: "loading" }, h("span", { class: "spinner", "aria-hidden": "true" }), what);
}
