// Latencies that users' devices measured: how to measure, the upload, and the list.

import { readAll } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { download } from "../downloads.js";
import { bytes, count, milliseconds, plural } from "../format.js";
import { copyField } from "../parts/copy.js";
import { modelLink, nameOf } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { deleteButton } from "../parts/undo.js";
import { uploadForm, verdictNotice } from "../parts/upload.js";

const MOST = 300;
const SCRIPT = "secateur_bench.py";

export async function devicesPage(view) {
  const body = view.begin("Devices", {
    lead: "Prune for the machine that will run the network, such as a Raspberry Pi: it measures the layers, and jobs choose widths that are fast there.",
  });
  const said = h("div", { class: "panel-part" });
  const list = h("div", {}, loading("Loading devices …"));
  const trouble = h("div");
  let again = () => {};
  const tools = { onChange: () => again(), onError: (error) => fill(trouble, problemPanel(error)), signal: view.signal };
  const onDone = (found) => {
    fill(said, verdictNotice(found, "file", h("a", { href: jobLink(found) }, "Prune for this device")));
    again();
  };
  const models = await readAll("/v1/models", MOST, { signal: view.signal });
  const form = uploadForm({
    path: "/v1/latencies",
    noun: "CSV",
    hint: `latencies.csv, as ${SCRIPT} wrote it.`,
    accept: ".csv",
    more: () => ({ node: null, params: () => ({}) }),
    onDone,
    signal: view.signal,
  });
  body.append(
    panel("Measure a device", {}, steps(models.filter((each) => each.status === "ready"), form, said, tools)),
    panel("Measured devices", {}, trouble, list),
  );
  const show = async () => {
    const found = await readAll("/v1/latencies", MOST, { signal: view.signal });
    refill(list, found.length === 0 ? emptyState("No device measured yet", "Without one, jobs measure the worker that runs them.") : latenciesTable(found, tools));
  };
  again = () => show().catch((error) => error.name !== "AbortError" && tools.onError(error));
  await show();
}

function steps(models, form, said, tools) {
  if (models.length === 0) {
    return emptyState("No model to measure", "Upload one first: a device measures the layers of a model.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model"));
  }
  const chosen = h("select", { id: "measured-model" }, models.map((each) => h("option", { value: each.id }, nameOf(each))));
  const command = h("div");
  const model = () => models.find((each) => each.id === chosen.value);
  const show = () => fill(command, copyField("On the device", `python ${SCRIPT} ${quoted(`${model().name}.bench`)} --network ${quoted(`${model().name}.onnx`)}`));
  chosen.addEventListener("change", show);
  show();
  const button = (text, path, name) => {
    const click = () => download(path(), name(), tools.signal).catch((error) => error.name !== "AbortError" && tools.onError(error));
    return h("button", { type: "button", class: "button", on: { click } }, text);
  };
  return h(
    "ol",
    { class: "steps" },
    h(
      "li",
      {},
      h("div", { class: "field is-limited" }, h("label", { class: "label", for: chosen.id }, "Download three files for the model"), chosen),
      h(
        "p",
        { class: "actions" },
        button("Layers to measure", () => `/v1/models/${chosen.value}/bench`, () => `${model().name}.bench`),
        button("Network", () => `/v1/models/${chosen.value}/onnx`, () => `${model().name}.onnx`),
        button("Script", () => `/v1/${SCRIPT}`, () => SCRIPT),
      ),
    ),
    h("li", {}, command, h("p", { class: "hint" }, "The device needs Python 3.9, numpy, and onnxruntime, openvino or ncnn. It needs no connection to this service. The script can be stopped and continued, and writes latencies.csv.")),
    h("li", {}, h("p", { class: "label" }, "Upload what it wrote"), form, said),
  );
}

/** Quote a file's name for a shell. */
function quoted(name) {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}

function latenciesTable(found, tools) {
  const columns = ["Name", "Device", ["Runtime", "not-narrow"], ["Model", "not-narrow"], ["Rows", "end not-narrow"], ["Whole network", "end not-narrow"], ["File", "end not-narrow"], ["Uploaded", "not-narrow"], ["Use", "end"], ["Delete", "end"]];
  return table(
    "Measured devices",
    columns,
    found.map((each) => [
      [each.name, h("span", { class: "sub" }, each.precisions.join(", "))],
      [each.device, h("span", { class: "sub" }, `${plural(each.num_threads, "thread")}, batch ${count(each.batch_size)}`)],
      `${each.runtime} ${each.runtime_version}`,
      modelLink(each.model, tools.signal),
      count(each.num_rows),
      each.network_seconds === null ? "–" : milliseconds(each.network_seconds),
      bytes(each.num_bytes),
      timeAgo(each.created_at),
      h("a", { class: "button is-small", href: jobLink(each), "aria-label": `Prune for ${each.name}` }, "Prune"),
      deleteButton({ path: `/v1/latencies/${each.id}`, name: each.name, isSmall: true, ...tools }),
    ]),
  );
}

/** Return the address of a job's form with a latency budget for a device. */
function jobLink({ id, model, batch_size: size }) {
  const set = { mode: "budget", latency: 0.5, batch_size: size, round_to: "auto", target: id };
  const pointers = Object.fromEntries(Object.entries(set).map(([name, value]) => [`/selection/${name}`, value]));
  return `#/jobs/new?model=${model}&set=${encodeURIComponent(JSON.stringify(pointers))}`;
}
