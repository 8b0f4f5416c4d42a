// Page of one model: its facts, its aliases, and which layers can be pruned.

import { architecture } from "../architecture/view.js";
import { ProblemError, read } from "../api.js";
import { h, fill } from "../dom.js";
import { bytes, compact, count, moment, percent, plural } from "../format.js";
import { tagsOf } from "../parts/labels.js";
import { modelLink, nameOf, remember } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { loading, notice, problemPanel } from "../parts/problem.js";
import { renameButton } from "../parts/rename.js";
import { badge } from "../parts/status.js";
import { facts, table } from "../parts/table.js";
import { deleteButton } from "../parts/undo.js";
import { watch } from "../polling.js";
import { go } from "../router.js";
import { aliasesPanel } from "./aliases.js";

export async function modelPage(view) {
  const [id] = view.params;
  const model = await read(`/v1/models/${encodeURIComponent(id)}`, { signal: view.signal });
  const crumbs = [h("a", { href: "#/models" }, "Models")];
  const body = view.begin(nameOf(model), { crumbs });
  const trouble = h("div");
  const top = h("div");
  const aliases = h("div");
  const verdict = h("div", { class: "stack" });
  let aliasesOf = null;
  body.append(trouble, top, aliases, verdict);
  const show = (now) => {
    remember("models", [now]);
    view.setTitle(nameOf(now));
    fill(view.actions, actionsFor(now, { onChange: show, trouble, signal: view.signal }));
    fill(top, about(now, view.signal));
    if (now.status === "ready" && now.name !== aliasesOf) {
      aliasesOf = now.name;
      fill(aliases, aliasesPanel(now, view.signal));
    }
  };
  show(model);
  await watch(1.5, view.signal, async () => {
    const now = await read(`/v1/models/${model.id}`, { signal: view.signal });
    show(now);
    if (now.status === "validating") {
      fill(verdict, loading("Validating the model …"));
      return true;
    }
    fill(verdict, now.status === "ready" ? await report(now, view.signal) : refused(now));
    return false;
  });
}

function actionsFor(model, { onChange, trouble, signal }) {
  const isReady = model.status === "ready";
  const path = `/v1/models/${model.id}`;
  return [
    renameButton(model, { path, noun: "model", onChange, signal }),
    deleteButton({
      path,
      name: nameOf(model),
      onChange: () => go("/models"),
      onError: (error) => error.name !== "AbortError" && fill(trouble, problemPanel(error)),
    }),
    isReady && h("a", { class: "button", href: `#/try?model=${model.id}` }, "Try it"),
    isReady && h("a", { class: "button is-primary", href: `#/jobs/new?model=${model.id}` }, "Prune it"),
  ].filter(Boolean);
}

function about(model, signal) {
  return panel(
    "About",
    { actions: [badge(model.status)] },
    facts([
      ["Parameters", count(model.num_parameters)],
      ["MACs per sample", count(model.macs)],
      ["File", `${bytes(model.num_bytes)} · ${model.format}`],
      ["Architecture", model.architecture?.name],
      ["Pruned from", model.parent && modelLink(model.parent, signal)],
      ["Tags", tagsOf(model) || null],
      ["Created by", model.job && h("a", { href: `#/jobs/${model.job}` }, "Open the job")],
      ["Classes", model.class_names && plural(model.class_names.length, "class", "classes")],
      ["Created", moment(model.created_at)],
      ["Id", h("code", {}, model.id)],
    ]),
  );
}

function refused(model) {
  return notice(
    "bad",
    "This model was rejected",
    h("p", {}, model.error?.message),
    model.error?.hint && h("p", { class: "small" }, model.error.hint),
  );
}

async function report(model, signal) {
  let found;
  try {
    found = await read(`/v1/models/${model.id}/report`, { signal });
  } catch (error) {
    if (error instanceof ProblemError && error.status === 409) {
      return [];
    }
    throw error;
  }
  return [prunable(found), panel("Architecture", {}, architecture(found, null).parts), layersPanel(found), found.frozen?.length > 0 && frozenPanel(found)];
}

function prunable(found) {
  const all = found.num_prunable_filters + found.num_frozen_filters;
  const narrowest = found.least;
  return panel(
    "What can be pruned",
    {},
    facts([
      ["Prunable filters", `${count(found.num_prunable_filters)} of ${count(all)}`],
      ["Fixed filters", count(found.num_frozen_filters)],
      ["Groups of layers with a common width", found.groups && count(found.groups.length)],
      ["Smallest reachable MACs", narrowest && `${compact(narrowest.macs)} (${percent(narrowest.macs / found.macs, 1)})`],
      ["Input", found.inputs?.map((input) => `${input.dtype} [${input.shape.join(", ")}]`).join("; ")],
      ["Notes", found.notes?.join("; ") || undefined],
      ["Operators", found.ops && plural(Object.keys(found.ops).length, "kind")],
    ]),
  );
}

function layersPanel(found) {
  const most = Math.max(...found.layers.map((layer) => layer.macs), 1);
  const rows = found.layers.map((layer) => [
    h("code", {}, layer.weight ?? layer.op),
    layer.op,
    layer.shape === null ? "–" : layer.shape.join(" × "),
    compact(layer.macs),
    h("div", { class: "meter" }, h("span", { vars: { "--share": `${(100 * layer.macs) / most}%` } })),
  ]);
  const columns = ["Layer", "Operator", ["Weights", "nowrap"], ["MACs", "end"], ["Share of the largest", "wide"]];
  return panel("Layers", { note: plural(rows.length, "layer") }, table("Layers and their cost", columns, rows));
}

function frozenPanel(found) {
  const rows = found.frozen.map((frozen) => [
    h("code", {}, `${frozen.tensor}[${frozen.dim}]`),
    count(frozen.num_channels),
    frozen.reason,
    [h("code", {}, frozen.op), frozen.source && h("span", { class: "sub" }, frozen.source)],
  ]);
  return panel(
    "Layers that cannot be pruned",
    {},
    table("Filters that cannot be pruned", ["Tensor", ["Channels", "end"], "Reason", "Caused by"], rows),
  );
}
