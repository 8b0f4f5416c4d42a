// A job's results: headline cards, the table of before and after, and the equivalence certificate.

import { h } from "../dom.js";
import { bytes, compact, count, decimal, milliseconds, plural, speedup } from "../format.js";
import { icon } from "../parts/icons.js";
import { panel } from "../parts/panel.js";
import { notice } from "../parts/problem.js";
import { facts, table } from "../parts/table.js";
import { changeText, costChange, doubtfulChange, intervalText, measuredOn, metricLabel, metricText, splitsOf, valueOn } from "./summary.js";

const NETWORKS = ["dense", "pruned", "repaired", "retrained"];

const VERDICTS = { ready: "good", uncertain: "warn", not_ready: "bad" };

/** Return the verdict and buttons for the next steps; null for results made before 0.2. */
export function verdictPart(job) {
  const { verdict } = job.result.summary;
  if (!verdict) {
    return null;
  }
  const steps = verdict.next_steps.map((step) => {
    const query = new URLSearchParams({ from: job.id, set: JSON.stringify(step.config) });
    return h("li", {}, h("a", { class: "button is-small", href: `#/jobs/new?${query}` }, step.title), ` ${step.reason}`);
  });
  return notice(VERDICTS[verdict.status], verdict.text, steps.length > 0 && h("p", {}, "Try next:"), steps.length > 0 && h("ul", { class: "steps" }, steps));
}

/** Return the headline cards. */
export function headline(summary) {
  const { dense, retrained } = summary;
  const [split] = splitsOf(summary);
  const cards = [
    ["MACs", costChange(dense.macs, retrained.macs)],
    ["Parameters", costChange(dense.num_parameters, retrained.num_parameters)],
    ["File", costChange(dense.file_bytes, retrained.file_bytes)],
    ["Speed, batch 1", speedOf(summary, 1), latencyWords(summary, 1)],
  ];
  if (split !== undefined) {
    const [before, after] = [dense, retrained].map((network) => valueOn(network.metrics, split, summary.metric));
    const measured = measuredOn(retrained.metrics, split);
    const more = [
      changeText(summary.metric, before, after),
      measured?.change && `(${doubtfulChange(summary.metric, measured.change)})`,
    ];
    cards.unshift([`${metricLabel(summary.metric)} (${split})`, metricText(summary.metric, after), more.filter(Boolean).join(" ")]);
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

/** Return the table of the dense, pruned, repaired and retrained network, and notes that are not job warnings. */
export function beforeAndAfter(summary, warnings) {
  const notes = summary.notes.filter((note) => !warnings.includes(note));
  const rows = [...qualityRows(summary), ...costRows(summary)];
  const repaired = summary.repaired ? [["Repaired", "end"]] : [];
  const columns = ["", ["Dense", "end"], ["Pruned", "end"], ...repaired, ["Retrained", "end strong"], ["Change", "end not-narrow"]];
  return panel(
    "Before and after",
    { note: [summary.task?.replace("_", " "), summary.criterion && `scored by ${summary.criterion}`].filter(Boolean).join(" · ") },
    table("The network before and after", columns, rows),
    summary.kept && h("p", { class: "panel-part quiet" }, `Kept: ${summary.kept.reason}.`),
    notes.length > 0 && h("div", { class: "panel-part" }, notice("warn", null, h("ul", {}, notes.map((note) => h("li", {}, note))))),
  );
}

function qualityRows(summary) {
  return splitsOf(summary).map((split) => {
    const names = networksOf(summary);
    const values = names.map((name) => valueOn(summary[name].metrics, split, summary.metric));
    const recalibrated = valueOn(summary.recalibrated_metrics, split, summary.metric);
    const served = valueOn(summary.retrained.metrics, split, summary.metric, "onnxruntime");
    const measured = names.map((name) => measuredOn(summary[name].metrics, split));
    const more = {
      pruned: recalibrated !== null && h("span", { class: "sub" }, `${metricText(summary.metric, recalibrated)} recalibrated`),
      retrained: served !== null && h("span", { class: "sub not-narrow" }, `${metricText(summary.metric, served)} as served`),
    };
    const cells = names.map((name, index) => [
      metricText(summary.metric, values[index]),
      subText(intervalText(summary.metric, measured[index]?.interval)),
      more[name],
    ]);
    return [
      [metricLabel(summary.metric), h("span", { class: "sub" }, `${plural(measured[0].num_samples, "sample")} of the ${split} split, 95\u00a0% intervals`)],
      ...cells,
      [changeText(summary.metric, values[0], values.at(-1)) ?? "–", subText(doubtfulChange(summary.metric, measured.at(-1)?.change))],
    ];
  });
}

/** Return the names of the networks of a result; those without repair have no repaired one. */
function networksOf(summary) {
  return NETWORKS.filter((name) => summary[name]);
}

function subText(text) {
  return text && h("span", { class: "sub" }, text);
}

function costRows(summary) {
  const rows = [
    ["Parameters", (network) => network.num_parameters, countAsWide],
    ["MACs", (network) => network.macs, countAsWide],
    ["ONNX file", (network) => network.file_bytes, bytes],
  ];
  const costs = rows.map(([name, read, text]) => {
    const values = networksOf(summary).map((network) => read(summary[network]));
    return [name, ...values.map(text), costChange(values[0], values.at(-1)) ?? "–"];
  });
  const latencies = summary.dense.latency_seconds.map(({ batch_size: size }) => [
    [`Latency, batch ${size}`, h("span", { class: "sub" }, "median and 95th percentile")],
    ...networksOf(summary).map((network) => {
      const found = latencyOf(summary[network], size);
      return [milliseconds(found?.p50), subText(milliseconds(found?.p95))];
    }),
    [speedOf(summary, size), summary.load?.is_busy && subText("measured under load")],
  ]);
  return [...costs, ...latencies];
}

/** Return a count in full on wide screens and abbreviated on narrow ones. */
function countAsWide(value) {
  return [h("span", { class: "not-narrow" }, count(value)), h("span", { class: "only-narrow" }, compact(value))];
}

function latencyOf(network, batchSize) {
  return network.latency_seconds.find((each) => each.batch_size === batchSize) ?? null;
}

/** Return the speed-up as text. Results made before 0.2 have only medians and no interval. */
function speedOf(summary, batchSize) {
  const found = summary.speedups?.find((each) => each.batch_size === batchSize);
  if (found) {
    return speedup(found);
  }
  const [before, after] = [summary.dense, summary.retrained].map((network) => latencyOf(network, batchSize)?.p50);
  return before && after ? `${(before / after).toFixed(1)}x, without an interval` : null;
}

function latencyWords(summary, batchSize) {
  const [before, after] = [summary.dense, summary.retrained].map((network) => milliseconds(latencyOf(network, batchSize)?.p50));
  return `${before} to ${after}${summary.load?.is_busy ? ", measured under load" : ""}`;
}

/** Return the certificate: the largest error of the pruned network against the masked dense one. */
export function certificate(summary) {
  const { equivalence } = summary;
  const said = equivalence.is_exact
    ? "The pruned network computes the same outputs as the full-size network with the removed filters set to zero."
    : `The pruned network is the full-size one without the removed filters, but the outputs differ because ${equivalence.inexact_ops.join(", ")} depends on all channels.`;
  return panel(
    "Equivalence certificate",
    {
      actions: [
        h(
          "span",
          { class: `badge ${equivalence.is_exact ? "is-good" : "is-warn"}` },
          icon(equivalence.is_exact ? "check" : "warning"),
          equivalence.is_exact ? "Proven equal" : "Equal except for some layers",
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
        ["Exact layers only, float64", optional(equivalence.exact_groups_float64_max_relative_error)],
        ["ONNX against torch", decimal(summary.onnx_max_absolute_error)],
        ["Measured on", plural(equivalence.num_samples, "sample")],
      ]),
    ),
  );
}

function optional(value) {
  return value === null || value === undefined ? null : decimal(value);
}
