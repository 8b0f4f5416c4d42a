// Form for a new job, with a live preview.

import { announce } from "../announce.js";
import { ProblemError, post, read, readAll } from "../api.js";
import { withLayersOf, withoutLayers } from "../architecture/edits.js";
import { h, fill } from "../dom.js";
import { configForm } from "../form/form.js";
import { idempotency } from "../once.js";
import { labelsPart } from "../parts/labels.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { disclosure } from "../parts/table.js";
import { go } from "../router.js";
import { exampleButton } from "./example.js";
import { goalsPart } from "./goals.js";
import { inputsPart } from "./inputs.js";
import { layersPart } from "./layers.js";
import { previewPart } from "./preview.js";

const PREFIX = "/config";
const MOST_DEVICES = 100;

export async function newJobPage(view) {
  const body = view.begin("Start a job", {
    crumbs: [h("a", { href: "#/jobs" }, "Jobs")],
    lead: "Say what you want. The preview follows your choices.",
  });
  fill(body, loading("Loading the form …"));
  const from = view.query.get("from");
  const [schema, { data: goals }, before] = await Promise.all([
    read("/v1/schemas/config", { signal: view.signal }),
    read("/v1/goals", { signal: view.signal }),
    from === null ? null : read(`/v1/jobs/${encodeURIComponent(from)}`, { signal: view.signal }),
  ]);
  let isReady = false;
  const changed = () => {
    const config = form.changes();
    json.textContent = JSON.stringify(config, null, 2);
    if (isReady) {
      choice.show(goalOf(withoutLayers(config)));
      layers.update();
      preview.ask(inputs.model ? bodyOf(inputs, form) : null);
    }
  };
  const inputs = await inputsPart({
    model: before?.model ?? view.query.get("model"),
    dataset: before ? (before.dataset ?? "") : view.query.get("dataset"),
    onChange: () => {
      choice.estimate(inputs).catch(view.ignore);
      layers.show(inputs.model).catch(view.ignore);
      changed();
    },
    signal: view.signal,
  });
  if (!inputs.hasModels) {
    fill(body, emptyState("No model to prune", "Upload one first. It can be pruned once it is ready.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model"), exampleButton(view.signal)));
    return;
  }
  const labels = labelsPart();
  const devices = h("datalist", { id: "known-target" });
  readAll("/v1/latencies", MOST_DEVICES, { signal: view.signal })
    .then((found) => fill(devices, found.map((each) => h("option", { value: each.id }, `${each.name} (${each.device})`))))
    .catch(view.ignore);
  const json = h("pre", { class: "code", tabindex: "0" });
  const trouble = h("div");
  const preview = previewPart({ onPlan: (found) => layers.update(found), onProblem: (details) => markAll(form, details), signal: view.signal });
  const form = configForm(schema, {
    order: ["selection", "criterion", "retrain", "schedule", "split"],
    open: ["selection"],
    onChange: () => changed(),
  });
  const layers = layersPart({ config: () => form.changes(), onChange: (config) => form.set(config), signal: view.signal });
  // Which goal the settings amount to, so that a changed form shows that it is no goal any more.
  const meaning = new Map();
  const goalOf = (config) => meaning.get(JSON.stringify(config)) ?? null;
  for (const goal of goals) {
    form.set(goal.config);
    meaning.set(JSON.stringify(form.changes()), goal.name);
  }
  const advanced = h("details", { class: "disclosure" }, h("summary", {}, "Advanced"), form.node);
  const choice = goalsPart(goals, {
    onChoose: (goal) => {
      form.set(withLayersOf(goal?.config ?? {}, form.changes()));
      if (goal === null) {
        advanced.open = true;
        choice.show(null);
      }
    },
    signal: view.signal,
  });
  isReady = true;
  const isAsked = before !== null || view.query.get("set") !== null;
  form.set(withChanges(before?.config ?? (isAsked ? {} : goals[0].config), view.query.get("set")));
  advanced.open = choice.name === null;
  choice.estimate(inputs).catch(view.ignore);
  layers.show(inputs.model).catch(view.ignore);
  const start = h("button", { class: "button is-primary" }, "Start the job");
  const keyOf = idempotency();
  const submit = async (event) => {
    event.preventDefault();
    await postJob({ inputs, form, goal: goalOf(form.changes()), labels, advanced, keyOf, start, trouble, signal: view.signal });
  };
  fill(
    body,
    h(
      "form",
      { class: "halves", novalidate: true, on: { submit } },
      devices,
      h(
        "div",
        { class: "stack" },
        panel("What to prune", {}, inputs.node),
        panel("How to prune", {}, choice.node, labels.node, advanced),
        layers.node,
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

function bodyOf(inputs, form, goal = null) {
  const how = goal === null ? { config: form.changes() } : { goal };
  return { model: inputs.model, ...(inputs.dataset && { dataset: inputs.dataset }), ...how };
}

async function postJob({ inputs, form, goal, labels, advanced, keyOf, start, trouble, signal }) {
  start.disabled = true;
  fill(trouble);
  try {
    const body = { ...bodyOf(inputs, form, goal), ...labels.get() };
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
    if (found) {
      advanced.open = true;
      found.focus();
    }
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
