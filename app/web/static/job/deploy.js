// Panel of a job's files for other runtimes and devices: agreement with torch, latency, scripts.

import { send } from "../api.js";
import { h, fill } from "../dom.js";
import { bytes, decimal, milliseconds, percent, speedup } from "../format.js";
import { copyButton } from "../parts/copy.js";
import { panel } from "../parts/panel.js";
import { problemPanel } from "../parts/problem.js";
import { disclosure, table } from "../parts/table.js";
import { downloadButton } from "./files.js";

const COLUMNS = ["Target", "Files", ["Size", "end"], ["Agreement with torch", "end"], ["Latency, batch 1", "end"]];

/** Return the panel of what to ship. `artifacts` are the job's files. */
export function deployPart(job, artifacts, signal) {
  const { summary } = job.result;
  const targets = summary.export_targets ?? [];
  const trouble = h("div");
  const all = { name: `${job.id}.zip`, urls: { content: `${job.urls.artifacts}.zip` } };
  const rows = [onnxRow(summary), int8Row(summary), ...targets.map(targetRow)].filter(Boolean);
  const scripts = targets.filter((each) => each.script !== null);
  const stored = new Map(artifacts.map((each) => [each.name, each]));
  return panel(
    "Deploy",
    { actions: [downloadButton(all, trouble, signal, "Download all")] },
    table("Targets", COLUMNS, rows),
    scripts.map((each) => scriptPart(each, stored.get(each.script), signal)),
    targets.length === 0 && h("p", { class: "panel-part quiet" }, "Name runtimes and devices in export.targets of the config to get their files, with a script that has the preprocessing."),
    trouble,
  );
}

function onnxRow({ retrained, onnx_max_absolute_error: error }) {
  if (!retrained.file_bytes) {
    return null;
  }
  return [
    ["ONNX Runtime", sub("float32, as served")],
    h("code", {}, "model.onnx"),
    bytes(retrained.file_bytes),
    difference(error),
    latencyOf(retrained),
  ];
}

function int8Row({ int8 }) {
  if (!int8) {
    return null;
  }
  const name = ["ONNX Runtime", sub(`int8, for ${int8.target}`)];
  if (!int8.is_kept) {
    return [name, h("span", { class: "quiet" }, int8.reason), "–", "–", "–"];
  }
  return [
    name,
    h("code", {}, "model_int8.onnx"),
    bytes(int8.file_bytes[1]),
    int8.agreement === null ? "–" : [percent(int8.agreement), sub("with float32")],
    [latencyOf(int8), sub(speedOf(int8))],
  ];
}

function targetRow(each) {
  const name = [each.title, sub([each.opset && `opset ${each.opset}`, each.precision].filter(Boolean).join(", "))];
  if (each.refusal !== null) {
    return [name, h("span", { class: "quiet" }, `Left out: ${each.refusal}.`), "–", "–", "–"];
  }
  const isRun = each.num_samples > 0;
  return [
    name,
    each.files.flatMap((file) => [h("code", {}, file), " "]),
    bytes(each.num_bytes),
    isRun ? [percent(each.agreement), difference(each.max_absolute_error, each.allowed_error)] : "not run here",
    isRun ? [latencyOf(each), sub(speedOf(each))] : "–",
  ];
}

function scriptPart(each, artifact, signal) {
  if (artifact === undefined) {
    return null;
  }
  return h(
    "div",
    { class: "panel-part" },
    disclosure(`${each.title}: ${each.script}`, () => {
      const place = h("div", { class: "stack" }, h("p", { class: "quiet" }, "Loading"));
      show(place, artifact, signal);
      return place;
    }),
  );
}

async function show(place, artifact, signal) {
  try {
    const text = await (await send(artifact.urls.content, { signal })).text();
    const code = h("pre", { class: "code", tabindex: "0" }, text);
    fill(place, code, h("p", {}, copyButton(artifact.name, text, () => getSelection().selectAllChildren(code))));
  } catch (error) {
    if (error.name !== "AbortError") {
      fill(place, problemPanel(error));
    }
  }
}

function difference(error, allowed = null) {
  return error === null ? "–" : sub(`largest difference ${decimal(error)}${allowed === null ? "" : `, allowed ${decimal(allowed)}`}`);
}

function latencyOf({ latency_seconds: latencies }) {
  const found = latencies.find((each) => each.batch_size === 1);
  return found ? milliseconds(found.p50) : "–";
}

function speedOf({ speedups }) {
  const found = speedups.find((each) => each.batch_size === 1);
  return found ? `${speedup(found)} beside model.onnx` : null;
}

function sub(text) {
  return text && h("span", { class: "sub" }, text);
}
