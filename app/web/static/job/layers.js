// Panels of a job's layers: widths before and after, and saliency curves.

import { architecture } from "../architecture/view.js";
import { drawCurve } from "../charts/curve.js";
import { legend } from "../charts/legend.js";
import { h } from "../dom.js";
import { count, decimal, percent, plural } from "../format.js";
import { panel } from "../parts/panel.js";
import { disclosure, table } from "../parts/table.js";

/**
 * Return the panels for {layers, criterion}.
 *
 * `selection` is part of the resolved config; `report` is the model's report, or null if it is gone.
 */
export function layersParts(found, { selection, report, signal }) {
  const shape = report === null ? widthsPanel(found.layers) : architecturePanel(report, found.layers);
  return [shape, curvesPanel(found, selection, signal)];
}

function architecturePanel(report, layers) {
  return panel("Architecture", { note: widthsNote(layers) }, architecture(report, layers).parts);
}

/** Return bars of the widths before and after, on one scale. */
export function widthBars(layers) {
  const widest = Math.max(...layers.map((layer) => layer.num_groups), 1);
  return h(
    "ol",
    { class: "widths" },
    layers.map((layer) =>
      h(
        "li",
        { class: "width" },
        h("span", { class: "width-name" }, layer.name),
        h("span", {
          class: "width-bar",
          "aria-hidden": "true",
          vars: {
            "--before": `${(100 * layer.num_groups) / widest}%`,
            "--after": `${(100 * layer.num_kept) / layer.num_groups}%`,
          },
        }),
        h("span", { class: "width-text" }, `${layer.num_groups} → ${layer.num_kept}`),
      ),
    ),
  );
}

/** Return the legend of the bars. */
export function widthLegend() {
  return legend([["is-block", "kept"], ["is-block is-second", "removed"]]);
}

function widthsNote(layers) {
  const before = layers.reduce((sum, layer) => sum + layer.num_groups, 0);
  const after = layers.reduce((sum, layer) => sum + layer.num_kept, 0);
  return `${count(before)} → ${plural(after, "filter")} in ${plural(layers.length, "layer")}, ${percent(after / before, 1)} kept`;
}

function widthsPanel(layers) {
  const isLong = layers.length > 24;
  const bars = () => widthBars(layers);
  return panel(
    "Widths",
    { note: widthsNote(layers) },
    widthLegend(),
    h("div", { class: "panel-part" }, isLong ? widthBars(layers.slice(0, 24)) : bars()),
    isLong && disclosure(`The other ${layers.length - 24} layers`, () => widthBars(layers.slice(24))),
  );
}

function curvesPanel(found, selection, signal) {
  const steepness = selection?.mode === "steepness" ? selection.steepness : null;
  const signs = [
    ["", "kept"],
    ["is-second", "removed"],
    ["is-upright", "cut"],
  ];
  if (steepness !== null) {
    signs.push(["is-line", `tangent of slope ${steepness} on the scaled curve`]);
  }
  return panel(
    "Saliency curves",
    { note: `each layer’s filters from least to most salient, by ${found.criterion}` },
    legend(signs),
    h("div", { class: "layers panel-part" }, found.layers.map((layer) => layerFigure(layer, steepness, signal))),
    disclosure("Show as a table", () => layersTable(found.layers)),
  );
}

function layerFigure(layer, steepness, signal) {
  const place = h("div", { class: "chart", role: "img", "aria-label": inWords(layer) });
  drawCurve(place, layer, steepness, signal);
  return h(
    "figure",
    { class: "layer" },
    h(
      "figcaption",
      {},
      h("span", { class: "layer-name" }, layer.name),
      h("span", { class: "layer-width" }, `${layer.num_groups} → ${layer.num_kept}`),
    ),
    place,
    h("p", { class: "layer-reason" }, layer.reason),
  );
}

function inWords(layer) {
  const removed = layer.num_groups - layer.num_kept;
  const [low, high] = [layer.curve[0]?.[1], layer.curve.at(-1)?.[1]];
  const range = `Saliency rises from ${decimal(low)} to ${decimal(high)} over ${plural(layer.num_groups, "filter")}.`;
  const cut = removed === 0 ? "None is removed." : `The ${removed} below ${decimal(layer.threshold)} are removed.`;
  return `${range} ${cut}`;
}

function layersTable(layers) {
  const columns = ["Layer", ["Before", "end"], ["After", "end"], ["Threshold", "end"], ["Lowest", "end"], ["Highest", "end"], "Reason"];
  return table(
    "Widths and saliencies of every layer",
    columns,
    layers.map((layer) => [
      h("code", {}, layer.name),
      count(layer.num_groups),
      count(layer.num_kept),
      decimal(layer.threshold),
      decimal(layer.curve[0]?.[1]),
      decimal(layer.curve.at(-1)?.[1]),
      layer.reason,
    ]),
  );
}
