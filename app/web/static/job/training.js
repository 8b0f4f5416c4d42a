// Training panel: losses and metric by epoch, live and after the end.

import { drawLosses, drawMetric } from "../charts/epochs.js";
import { legend } from "../charts/legend.js";
import { h, fill } from "../dom.js";
import { decimal, duration } from "../format.js";
import { panel } from "../parts/panel.js";
import { disclosure, table } from "../parts/table.js";
import { isShare, metricLabel, metricText, valueOn } from "./summary.js";

/** Return {node, update(runs, summary)}; the node is hidden until the first epoch ends. */
export function trainingPart(signal) {
  const chooser = h("select", { id: "run", on: { change: () => show(chooser.value) } });
  const choice = h("div", { class: "field is-inline", hidden: true }, h("label", { class: "label", for: "run" }, "Run"), chooser);
  const place = h("div");
  const node = panel("Training", { actions: [choice] }, place);
  node.hidden = true;
  let state = { runs: new Map(), summary: null };
  let shown = null;
  let isChosen = false;
  const show = (name) => {
    isChosen = shown !== null && name !== shown.name;
    shown = { name, ...charts(place, state.runs.get(name), state.summary, signal) };
  };
  return {
    node,
    update: (runs, summary) => {
      const hasSummary = summary !== null && state.summary === null;
      state = { runs, summary };
      if (runs.size === 0) {
        return;
      }
      node.hidden = false;
      choice.hidden = runs.size < 2;
      const usual = defaultRun(runs);
      if (chooser.options.length !== runs.size) {
        fill(chooser, [...runs.keys()].map((name) => h("option", { value: name }, name || "retraining")));
      }
      const name = isChosen && runs.has(shown.name) ? shown.name : usual;
      chooser.value = name;
      if (shown?.name === name && !hasSummary && shown.records[0].length > 1) {
        shown.update(runs.get(name));
      } else {
        shown = { name, ...charts(place, runs.get(name), summary, signal) };
      }
    },
  };
}

/** Return the default run: the one that is kept, or else the latest. */
function defaultRun(runs) {
  const names = [...runs.keys()];
  return names.find((name) => name === "" || name === "retraining") ?? names.at(-1);
}

function charts(place, records, summary, signal) {
  const metric = summary?.metric ?? records[0].metric ?? null;
  const dense = summary === null ? null : valueOn(summary.dense.metrics, "validation", metric);
  const hasMetric = records.some((record) => record.validation_metric !== null);
  const hasValidation = records.some((record) => record.validation_loss !== null);
  const losses = h("div", { class: "chart", role: "img" });
  const quality = h("div", { class: "chart", role: "img" });
  const rows = h("div");
  const name = metric === null ? "validation metric" : metricLabel(metric);
  fill(
    place,
    h(
      "div",
      { class: "columns" },
      h("figure", {}, legend([["is-second is-dashed", "training loss"], hasValidation && ["", "validation loss"]].filter(Boolean)), losses),
      hasMetric && h("figure", {}, legend([["", `${name}, validation`], dense !== null && ["is-grey is-dashed", "dense network"]].filter(Boolean)), quality),
    ),
    disclosure("Show as a table", () => rows),
  );
  const toData = (some) => ({
    losses: columns(some, (record) => record.train_loss, (record) => record.validation_loss),
    quality: columns(some, (record) => record.validation_metric, () => dense),
  });
  const data = toData(records);
  const setLosses = drawLosses(losses, data.losses, signal);
  const setQuality = hasMetric ? drawMetric(quality, data.quality, isShare(metric), signal) : () => {};
  const describe = (some) => {
    const last = some.at(-1);
    losses.setAttribute("aria-label", lossWords(some));
    quality.setAttribute("aria-label", `${name} after epoch ${last.epoch}: ${metricText(metric, last.validation_metric)}.`);
    fill(rows, epochTable(some, metric));
  };
  describe(records);
  return {
    records: data.losses,
    update: (some) => {
      const news = toData(some);
      setLosses(news.losses);
      setQuality(news.quality);
      describe(some);
    },
  };
}

function columns(records, ...readers) {
  return [records.map((record) => record.epoch), ...readers.map((reader) => records.map(reader))];
}

function lossWords(records) {
  const [first, last] = [records[0], records.at(-1)];
  const validation = last.validation_loss === null ? "" : ` Validation loss: ${decimal(last.validation_loss)}.`;
  return `Training loss went from ${decimal(first.train_loss)} to ${decimal(last.train_loss)} in ${last.epoch} of ${last.num_epochs} epochs.${validation}`;
}

function epochTable(records, metric) {
  const heads = ["Epoch", ["Training loss", "end"], ["Validation loss", "end"], ["Validation metric", "end"], ["Learning rate", "end"], ["Time", "end"]];
  return table(
    "Training, epoch by epoch",
    heads,
    records.map((record) => [
      String(record.epoch),
      decimal(record.train_loss),
      decimal(record.validation_loss),
      metricText(metric, record.validation_metric),
      decimal(record.learning_rate, 6),
      duration(record.seconds),
    ]),
  );
}
