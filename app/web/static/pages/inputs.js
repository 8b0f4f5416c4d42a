// Selects for a model and a data set.

import { readAll } from "../api.js";
import { h } from "../dom.js";
import { compact, count } from "../format.js";
import { nameOf } from "../parts/names.js";

const MOST = 300;

/** Return {node, hasModels, model, dataset}; `onChange` is called when the user changes one. */
export async function inputsPart({ model, dataset, onChange, signal }) {
  const [models, datasets] = await Promise.all([
    readAll("/v1/models", MOST, { signal }),
    readAll("/v1/datasets", MOST, { signal }),
  ]);
  const usable = models.filter((each) => each.status === "ready");
  const first = model ?? usable.find((each) => each.parent === null)?.id ?? usable[0]?.id ?? "";
  const models_ = select("model", "Model", usable.map((each) => [each.id, modelText(each)]), first, onChange);
  const ready = datasets.filter((each) => each.status === "ready");
  const sets = select(
    "dataset",
    "Data set",
    [...ready.map((each) => [each.id, `${each.name} · ${count(each.summary?.num_samples)} samples`]), ["", "No data: the network is not retrained"]],
    dataset ?? ready[0]?.id ?? "",
    onChange,
  );
  return {
    node: h("div", { class: "fields" }, models_.node, sets.node),
    hasModels: usable.length > 0,
    get model() {
      return models_.control.value;
    },
    get dataset() {
      return sets.control.value || null;
    },
  };
}

function select(id, label, options, chosen, onChange) {
  const control = h(
    "select",
    { id: `choose-${id}`, on: { change: onChange } },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  control.value = chosen;
  if (control.selectedIndex < 0) {
    control.selectedIndex = 0;
  }
  const node = h("div", { class: "field" }, h("label", { class: "label", for: control.id }, label), control);
  return { node, control };
}

function modelText(model) {
  return `${nameOf(model)} · ${compact(model.num_parameters)} parameters${model.parent === null ? "" : " · pruned"}`;
}
