// Panel of the job's form that shows the network, and in which layers are frozen or narrowed.

import { announce } from "../announce.js";
import { askedOf, withAsked } from "../architecture/edits.js";
import { nodesOf } from "../architecture/nodes.js";
import { architecture } from "../architecture/view.js";
import { h, fill, refill } from "../dom.js";
import { count } from "../format.js";
import { findReport } from "../parts/names.js";
import { panel } from "../parts/panel.js";

/**
 * Return {node, show(model), update(families)}.
 *
 * `show` draws the network of a model. `update` redraws it after a change of the config, with the
 * layers of a new plan if there is one. `config()` returns the config, and `onChange` receives a
 * changed one.
 */
export function layersPart({ config, onChange, signal }) {
  const own = h("div", { class: "panel-part" });
  const body = h("div", { class: "stack is-tight" });
  const node = panel("Architecture", {}, body, own);
  node.hidden = true;
  let [model, view, families, layers, history] = [null, null, null, [], []];
  const ask = (layer, asked) => {
    const before = askedOf(config(), layer);
    if (history.at(-1)?.layer.group !== layer.group || asked.kind !== "width" || before.kind !== "width") {
      history.push({ layer, before }); // typing several digits is one change
    }
    set(layer, asked);
  };
  const set = (layer, asked) => {
    announce(`${layer.name}: ${textOf(layer, asked)}.`);
    onChange(withAsked(config(), layer, asked));
  };
  const undo = () => {
    const { layer, before } = history.pop();
    set(layer, before);
    (own.querySelector("button") ?? node.querySelector('[aria-selected="true"]')).focus();
  };
  const update = (planned = families) => {
    families = planned;
    if (view === null) {
      return;
    }
    view.update(families);
    refill(own, changesOf(layers, config(), history.length > 0 ? undo : null));
  };
  const show = async (wanted) => {
    if (wanted === model) {
      return;
    }
    [model, view, families, history] = [wanted, null, null, []];
    node.hidden = true;
    const report = wanted && (await findReport(wanted, signal));
    if (!report || wanted !== model) {
      return;
    }
    layers = firstOfGroups(nodesOf(report, null));
    view = architecture(report, families, { asked: (layer) => askedOf(config(), layer), ask });
    fill(body, h("p", { class: "quiet small" }, "Choose a layer to freeze it or to set its width. Layers that must have the same channels change together."), view.parts);
    node.hidden = false;
    update();
  };
  return { node, show, update };
}

function firstOfGroups(nodes) {
  const groups = new Set(nodes.map((node) => node.group).filter(Boolean));
  return [...groups].map((group) => nodes.find((node) => node.group === group));
}

/** Return the list of changed layers with buttons that undo. */
function changesOf(layers, config, undo) {
  const changed = layers.map((layer) => [layer, askedOf(config, layer)]).filter(([, asked]) => asked.kind !== "auto");
  return [
    changed.length > 0 && h("h3", { class: "small" }, "Set by you"),
    changed.length > 0 && h("ul", { class: "arch-own small" }, changed.map(([layer, asked]) => h("li", {}, h("code", {}, layer.name), ` ${textOf(layer, asked)}`))),
    undo && h("p", { class: "panel-part" }, h("button", { type: "button", id: "undo-layer", class: "button is-small", on: { click: undo } }, "Undo the last change")),
  ];
}

function textOf(layer, { kind, width }) {
  return { auto: "automatic", frozen: `keeps all ${count(layer.before)} channels`, width: `keeps about ${count(width)} of ${count(layer.before)} channels` }[kind];
}
