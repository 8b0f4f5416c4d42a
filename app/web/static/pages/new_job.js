// Form for a new job, with a live preview.

import { announce } from "../announce.js";
import { ProblemError, post, read } from "../api.js";
import { h, fill } from "../dom.js";
import { configForm } from "../form/form.js";
import { idempotency } from "../once.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { disclosure } from "../parts/table.js";
import { go } from "../router.js";
import { inputsPart } from "./inputs.js";
import { previewPart } from "./preview.js";

const STARTS = [
  ["Automatic", {}],
  ["Half the MACs", { selection: { mode: "budget", macs: 0.5 } }],
  ["Half the parameters", { selection: { mode: "budget", params: 0.5 } }],
  ["Lose at most one point", { selection: { mode: "accuracy", max_drop: 0.01 } }],
];
const PREFIX = "/config";

export async function newJobPage(view) {
  const body = view.begin("Start a job", {
    crumbs: [h("a", { href: "#/jobs" }, "Jobs")],
    lead: "Every option has a sensible default. The preview follows your choices.",
  });
  fill(body, loading("Loading the form …"));
  const from = view.query.get("from");
  const [schema, before] = await Promise.all([
    read("/v1/schemas/config", { signal: view.signal }),
    from && read(`/v1/jobs/${encodeURIComponent(from)}`, { signal: view.signal }),
  ]);
  const changed = () => {
    json.textContent = JSON.stringify(form.changes(), null, 2);
    preview.ask(inputs.model ? bodyOf(inputs, form) : null);
  };
  const inputs = await inputsPart({
    model: before?.model ?? view.query.get("model"),
    dataset: before ? (before.dataset ?? "") : view.query.get("dataset"),
    onChange: () => changed(),
    signal: view.signal,
  });
  if (!inputs.hasModels) {
    fill(body, emptyState("No model to prune", "Upload one first. It can be pruned once it is ready.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model")));
    return;
  }
  const json = h("pre", { class: "code", tabindex: "0" });
  const trouble = h("div");
  const preview = previewPart((details) => markAll(form, details), view.signal);
  const form = configForm(schema, {
    order: ["selection", "criterion", "retrain", "schedule", "split"],
    open: ["selection"],
    onChange: () => changed(),
  });
  form.set(withChanges(before?.config ?? {}, view.query.get("set")));
  const start = h("button", { class: "button is-primary" }, "Start the job");
  const keyOf = idempotency();
  const submit = async (event) => {
    event.preventDefault();
    await postJob({ inputs, form, keyOf, start, trouble, signal: view.signal });
  };
  fill(
    body,
    h(
      "form",
      { class: "halves", novalidate: true, on: { submit } },
      h(
        "div",
        { class: "stack" },
        panel("What to prune", {}, inputs.node),
        panel("How to prune", {}, startsPart(form), h("div", { class: "panel-part" }, form.node)),
        disclosure("Config as JSON", () => json),
      ),
      h(
        "div",
        { class: "aside" },
        panel("Preview", { isScrolled: true }, preview.node),
        h("div", { class: "post" }, trouble, start),
      ),
    ),
  );
}

/**
 * Return the config with values set by JSON pointer. `set` is a JSON object or null; it comes from
 * the address, which anyone can write: only the config's own members are followed.
 */
export function withChanges(config, set) {
  const changed = structuredClone(config);
  for (const [pointer, value] of Object.entries(parsed(set))) {
    const names = pointer.slice(1).split("/");
    const last = names.pop();
    const parent = names.reduce((part, name) => (isObject(own(part, name)) ? part[name] : define(part, name, {})), changed);
    define(parent, last, value);
  }
  return changed;
}

function parsed(text) {
  try {
    const found = JSON.parse(text ?? "{}");
    return isObject(found) ? found : {};
  } catch {
    return {};
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}

function own(part, name) {
  return Object.hasOwn(part, name) ? part[name] : undefined;
}

/** Set a member, even one named `__proto__`, and return its value. */
function define(part, name, value) {
  Object.defineProperty(part, name, { value, configurable: true, enumerable: true, writable: true });
  return value;
}

function startsPart(form) {
  return h(
    "div",
    { class: "field" },
    h("p", { class: "label", id: "starts" }, "Start from"),
    h(
      "div",
      { class: "choices", role: "group", "aria-labelledby": "starts" },
      STARTS.map(([text, config]) =>
        h("button", { type: "button", class: "button is-small", on: { click: () => form.set(config) } }, text),
      ),
    ),
  );
}

function bodyOf(inputs, form) {
  return { model: inputs.model, ...(inputs.dataset && { dataset: inputs.dataset }), config: form.changes() };
}

async function postJob({ inputs, form, keyOf, start, trouble, signal }) {
  start.disabled = true;
  fill(trouble);
  try {
    const body = bodyOf(inputs, form);
    const job = await post("/v1/jobs", body, { headers: { "Idempotency-Key": keyOf(body) }, signal });
    go(`/jobs/${job.id}`);
  } catch (error) {
    if (error.name === "AbortError") {
      return;
    }
    start.disabled = false;
    const found = error instanceof ProblemError ? markAll(form, error.problem.errors ?? []) : null;
    fill(trouble, problemPanel(error, { title: "The job was not started" }));
    announce("The job was not started.");
    found?.focus();
  }
}

/** Show each error at its field; return the first invalid control. */
function markAll(form, details) {
  form.clear();
  for (const { pointer, detail } of details) {
    if (pointer.startsWith(PREFIX)) {
      form.mark(pointer.slice(PREFIX.length), detail);
    }
  }
  return form.node.querySelector('[aria-invalid="true"]');
}
