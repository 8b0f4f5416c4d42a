// The int8 file of a job's result beside the fp32 one, or why there is none.

import { h } from "../dom.js";
import { bytes, milliseconds, plural, speedup } from "../format.js";
import { icon } from "../parts/icons.js";
import { panel } from "../parts/panel.js";
import { table } from "../parts/table.js";
import { changeText, costChange, metricLabel, metricText } from "./summary.js";

// Elsewhere these compare with the dense network.
const AGAINST_FP32 = { agreement: "Agreement with fp32", output_error: "Distance to the outputs in fp32" };

/** Return the panel; null if the job was not asked for an int8 file. */
export function int8Part({ int8 }) {
  if (!int8) {
    return null;
  }
  const word = int8.is_served ? "Served as variant int8" : int8.is_kept ? `For ${int8.target}` : "No int8 file";
  const badge = h("span", { class: `badge ${int8.is_kept ? "is-good" : "is-warn"}` }, icon(int8.is_kept ? "check" : "warning"), word);
  const rows = [...qualityRows(int8), ...costRows(int8)];
  const columns = ["", ["fp32", "end"], ["int8", "end strong"], ["Change", "end"]];
  return panel(
    "Int8",
    { actions: [badge] },
    h("p", {}, int8.reason),
    rows.length > 0 && table("The pruned network in fp32 and in int8", columns, rows),
    int8.notes.map((note) => h("p", { class: "panel-part quiet" }, note)),
  );
}

function qualityRows({ metric, before, after, num_judged: number }) {
  if (!metric) {
    return [];
  }
  const name = [AGAINST_FP32[metric] ?? metricLabel(metric), h("span", { class: "sub" }, plural(number, "validation sample"))];
  return [[name, metricText(metric, before), after === null ? "–" : metricText(metric, after), changeText(metric, before, after) ?? "–"]];
}

function costRows(int8) {
  const rows = int8.latency_seconds.map((latency, index) => [
    `Latency, batch ${latency.batch_size}`,
    milliseconds(int8.fp32_latency_seconds[index]?.p50),
    milliseconds(latency.p50),
    speedup(int8.speedups[index]),
  ]);
  if (int8.file_bytes) {
    const [before, after] = int8.file_bytes;
    rows.unshift(["ONNX file", bytes(before), bytes(after), costChange(before, after) ?? "–"]);
  }
  return rows;
}
