// Form for a new sweep: the common config and the parameters that vary.

import { post, read } from "../api.js";
import { h, fill } from "../dom.js";
import { configForm } from "../form/form.js";
import { pointersOf } from "../form/schema.js";
import { plural } from "../format.js";
import { idempotency } from "../once.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { go } from "../router.js";
import { inputsPart } from "./inputs.js";

const FIRST = [
  ["/selection/macs", "0.7, 0.5, 0.3"],
  ["/criterion/kind", "l1, taylor"],
];
const BASE = { selection: { mode: "budget", macs: 0.5 } };

export async function newSweepPage(view) {
  const body = view.begin("Start a sweep", {
    crumbs: [h("a", { href: "#/sweeps" }, "Sweeps")],
    lead: "One job for every combination of the values below, and one more for each that is chosen for training. All other options come from the common config.",
  });
  fill(body, loading("Loading the form …"));
  const schema = await read("/v1/schemas/config", { signal: view.signal });
  const inputs = await inputsPart({ model: view.query.get("model"), dataset: null, onChange: () => {}, signal: view.signal });
  if (!inputs.hasModels) {
    fill(body, emptyState("No model to prune", "Upload one first.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model")));
    return;
  }
  const grid = gridPart(pointersOf(schema, schema));
  const form = configForm(schema, { order: ["selection", "criterion", "retrain", "schedule", "split"] });
  form.set(BASE);
  const train = trainPart();
  const trouble = h("div");
  const start = h("button", { class: "button is-primary" }, "Start the sweep");
  const keyOf = idempotency();
  const submit = async (event) => {
    event.preventDefault();
    start.disabled = true;
    fill(trouble);
    try {
      const data = inputs.dataset && { dataset: inputs.dataset };
      const sweep = { model: inputs.model, ...data, config: form.changes(), grid: grid.get(), train: train.get() };
      const headers = { "Idempotency-Key": keyOf(sweep) };
      const made = await post("/v1/sweeps", sweep, { headers, signal: view.signal });
      go(`/sweeps/${made.id}`);
    } catch (error) {
      if (error.name !== "AbortError") {
        start.disabled = false;
        fill(trouble, problemPanel(error, { title: "The sweep was not started" }));
      }
    }
  };
  fill(
    body,
    h(
      "form",
      { class: "stack", novalidate: true, on: { submit } },
      panel("What to prune", {}, inputs.node),
      panel("What varies", {}, grid.node),
      panel("What is trained", {}, train.node),
      panel("Common config", {}, form.node),
      trouble,
      h("div", { class: "actions" }, start),
    ),
  );
}

const TRAIN = [
  ["auto", "Automatic: the best points, if criterion, selection or repair vary"],
  ["front", "The best points: every point is repaired and measured, and those that no other beats are trained"],
  ["all", "Every point"],
];

function trainPart() {
  const control = h("select", { id: "sweep-train" }, TRAIN.map(([value, text]) => h("option", { value }, text)));
  const node = h("div", { class: "field" }, h("label", { class: "label", for: control.id }, "Points to train"), control);
  return { node: h("div", { class: "form" }, node), get: () => control.value };
}

function gridPart(pointers) {
  const rows = new Set();
  const list = h("div", { class: "stack is-tight" });
  const total = h("p", { class: "hint", "aria-live": "polite" });
  const recount = () => {
    const number = [...rows].reduce((product, row) => product * Math.max(1, row.values().length), 1);
    total.textContent = `${plural(number, "job")} in total.`;
  };
  const add = (pointer, values) => {
    const row = gridRow(pointer, values, rows.size + 1, () => {
      rows.delete(row);
      row.node.remove();
      recount();
      button.focus();
    });
    rows.add(row);
    list.append(row.node);
    recount();
    return row;
  };
  const button = h("button", { type: "button", class: "button is-small", on: { click: () => add("/", "").focus() } }, "Add parameter");
  const node = h(
    "div",
    { class: "form" },
    h("p", { class: "hint" }, "A JSON pointer into the config and its values, separated by commas."),
    list,
    h("datalist", { id: "pointers" }, pointers.map((value) => h("option", { value }))),
    h("div", { class: "actions" }, button, total),
  );
  node.addEventListener("input", recount);
  FIRST.forEach(([pointer, values]) => add(pointer, values));
  return { node, get: () => Object.fromEntries([...rows].map((row) => [row.pointer(), row.values()])) };
}

let numRows = 0;

function gridRow(pointer, values, number, onRemove) {
  numRows += 1;
  const input = (name, label, value) => {
    const control = h("input", { id: `grid-${numRows}-${name}`, type: "text", autocomplete: "off", spellcheck: "false" });
    control.value = value;
    return { control, node: h("div", { class: "field" }, h("label", { class: "label", for: control.id }, label), control) };
  };
  const where = input("pointer", `Parameter ${number}`, pointer);
  where.control.setAttribute("list", "pointers");
  const what = input("values", `Values of parameter ${number}`, values);
  const remove = h("button", { type: "button", class: "button is-small", "aria-label": `Remove parameter ${number}`, on: { click: onRemove } }, "Remove");
  return {
    node: h("div", { class: "grid-row" }, where.node, what.node, remove),
    pointer: () => where.control.value.trim(),
    values: () => what.control.value.split(",").map((text) => text.trim()).filter(Boolean).map(parse),
    focus: () => where.control.focus(),
  };
}

/** Parse a value as JSON, or keep it as text. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
