// What a job achieved: the headline, the table of before and after, and the proof.

import { h } from "../dom.js";
import { bytes, compact, count, decimal, milliseconds, plural } from "../format.js";
import { icon } from "../parts/icons.js";
import { panel } from "../parts/panel.js";
import { notice } from "../parts/problem.js";
import { facts, table } from "../parts/table.js";
import { changeText, costChange, metricLabel, metricText, splitsOf, valueOn } from "./summary.js";

const NETWORKS = ["dense", "pruned", "retrained"];

/** Return the cards that say it in a glance. */
export function headline(summary) {
  const { dense, retrained } = summary;
  const [split] = splitsOf(summary);
  const cards = [
    ["MACs", costChange(dense.macs, retrained.macs)],
    ["Parameters", costChange(dense.num_parameters, retrained.num_parameters)],
    ["File", costChange(dense.file_bytes, retrained.file_bytes)],
    ["Latency, batch 1", costChange(median(dense, 1), median(retrained, 1))],
  ];
  if (split !== undefined) {
    const [before, after] = [dense, retrained].map((network) => valueOn(network.metrics, split, summary.metric));
    cards.unshift([`${metricLabel(summary.metric)} (${split})`, metricText(summary.metric, after), changeText(summary.metric, before, after)]);
  }
  return h(
    "dl",
    { class: "cards" },
    cards
      .filter(([, value]) => value !== null)
      .map(([name, value, more]) =>
        h(
          "div",
          { class: "card" },
          h("dt", { class: "card-name" }, name),
          h("dd", { class: "card-value" }, value, more && h("span", { class: "card-more" }, more)),
        ),
      ),
  );
}

/** Return the table of the dense, the pruned and the retrained network. */
export function beforeAndAfter(summary) {
  const rows = [...qualityRows(summary), ...costRows(summary)];
  const columns = ["", ["Dense", "end"], ["Pruned", "end"], ["Retrained", "end strong"], ["Change", "end not-narrow"]];
  return panel(
    "Before and after",
    { note: summary.criterion && `scored by ${summary.criterion}` },
    table("The network before and after", columns, rows),
    summary.notes.length > 0 && h("div", { class: "panel-part" }, notice("warn", null, h("ul", {}, summary.notes.map((note) => h("li", {}, note))))),
  );
}

function qualityRows(summary) {
  return splitsOf(summary).map((split) => {
    const values = NETWORKS.map((name) => valueOn(summary[name].metrics, split, summary.metric));
    const recalibrated = valueOn(summary.recalibrated_metrics, split, summary.metric);
    const served = valueOn(summary.retrained.metrics, split, summary.metric, "onnxruntime");
    const [dense, pruned, retrained] = values.map((value) => metricText(summary.metric, value));
    return [
      [metricLabel(summary.metric), h("span", { class: "sub" }, `${split} split`)],
      dense,
      [pruned, recalibrated !== null && h("span", { class: "sub" }, `${metricText(summary.metric, recalibrated)} recalibrated`)],
      [retrained, served !== null && h("span", { class: "sub not-narrow" }, `${metricText(summary.metric, served)} as served`)],
      changeText(summary.metric, values[0], values[2]) ?? "–",
    ];
  });
}

function costRows(summary) {
  const rows = [
    ["Parameters", (network) => network.num_parameters, countAsWide],
    ["MACs", (network) => network.macs, countAsWide],
    ["ONNX file", (network) => network.file_bytes, bytes],
  ];
  for (const { batch_size: size } of summary.dense.latency_seconds) {
    rows.push([`Latency, batch ${size}`, (network) => median(network, size), milliseconds]);
  }
  return rows.map(([name, read, text]) => {
    const values = NETWORKS.map((network) => read(summary[network]));
    return [name, ...values.map(text), costChange(values[0], values[2]) ?? "–"];
  });
}

/** Return a count in full where there is room for it. */
function countAsWide(value) {
  return [h("span", { class: "not-narrow" }, count(value)), h("span", { class: "only-narrow" }, compact(value))];
}

function median(network, batchSize) {
  return network.latency_seconds.find((each) => each.batch_size === batchSize)?.p50 ?? null;
}

/** Return the certificate: how far the smaller network is from the one it must equal. */
export function certificate(summary) {
  const { equivalence } = summary;
  const said = equivalence.is_exact
    ? "The small network computes what the full-size network computes with the removed filters at zero."
    : `The small network is what is left of the full-size one, but ${equivalence.inexact_ops.join(", ")} makes the two differ: it sees all channels at once.`;
  return panel(
    "Equivalence certificate",
    {
      actions: [
        h(
          "span",
          { class: `badge ${equivalence.is_exact ? "is-good" : "is-warn"}` },
          icon(equivalence.is_exact ? "check" : "warning"),
          equivalence.is_exact ? "Proven equal" : "Equal but for some layers",
        ),
      ],
    },
    h("p", {}, said),
    h(
      "div",
      { class: "panel-part" },
      facts([
        ["Relative error, float64", decimal(equivalence.float64_max_relative_error)],
        ["Relative error, float32", decimal(equivalence.float32_max_relative_error)],
        ["Exact layers alone, float64", optional(equivalence.exact_groups_float64_max_relative_error)],
        ["ONNX against torch", decimal(summary.onnx_max_absolute_error)],
        ["Measured on", plural(equivalence.num_samples, "sample")],
      ]),
    ),
  );
}

function optional(value) {
  return value === null || value === undefined ? null : decimal(value);
}
