// All data sets, with what was found in each, and a place to upload one.

import { read, readAll } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { changesOf, objectField } from "../form/object.js";
import { bytes, count, decimal, plural } from "../format.js";
import { ACCEPT, TAKEN } from "../parts/file_kinds.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { uploadForm, verdictNotice } from "../parts/upload.js";
import { watch } from "../polling.js";

const MOST = 300;
const NUMBERS = ["scale", "mean", "std"]; // what a preset says

export async function datasetsPage(view) {
  const body = view.begin("Data sets", {
    lead: "Samples to retrain and to measure with. Labels are optional: without them the pruned network learns from the dense one.",
  });
  const said = h("div");
  const list = h("div", {}, loading("Reading the data sets …"));
  let again = () => {};
  const onDone = (dataset) => {
    fill(said, verdictNotice(dataset, "data set", notes(dataset)));
    again();
  };
  const schema = await read("/v1/schemas/preprocess", { signal: view.signal });
  body.append(
    panel(
      "Upload a data set",
      {},
      uploadForm({
        path: "/v1/datasets",
        noun: "data set",
        hint: TAKEN.dataset,
        accept: ACCEPT.dataset,
        more: () => preprocessFields(schema),
        onDone,
        signal: view.signal,
      }),
      said,
    ),
    panel("All data sets", {}, list),
  );
  const show = async () => {
    const datasets = await readAll("/v1/datasets", MOST, { signal: view.signal });
    refill(list, datasets.length === 0 ? nothing() : datasetTable(datasets));
    return datasets;
  };
  again = show;
  await watch(3, view.signal, async () => {
    const datasets = await show();
    return datasets.some((dataset) => dataset.status === "validating");
  });
}

/** A preset, or numbers of one's own: it must be what the network was trained with. */
function preprocessFields(schema) {
  const field = objectField(schema, schema, { isFirst: (name) => name === "preset" });
  const preset = field.fields.get("preset");
  const show = () => {
    for (const name of NUMBERS) {
      field.fields.get(name).node.hidden = preset.get() !== null;
    }
  };
  field.node.addEventListener("change", show);
  show();
  const node = h(
    "fieldset",
    { class: "group" },
    h("legend", {}, "Preprocessing"),
    h("p", { class: "hint" }, "What the network was trained with: x = (pixel × scale − mean) ÷ std. Torchvision’s and timm’s networks take imagenet. Without any, pixels are scaled to [0, 1]."),
    field.node,
  );
  return {
    node,
    params: () => {
      const changes = changesOf(schema, schema, field.get());
      if (changes.preset !== undefined) {
        NUMBERS.forEach((name) => delete changes[name]);
      }
      return { preprocess: Object.keys(changes).length === 0 ? null : JSON.stringify(changes) };
    },
  };
}

function datasetTable(datasets) {
  const columns = ["Name", "Verdict", ["Samples", "end"], ["Classes", "end not-narrow"], ["Shape", "not-narrow"], ["File", "end not-narrow"], ["Uploaded", "not-narrow"]];
  return table(
    "Data sets",
    columns,
    datasets.map((dataset) => {
      const found = dataset.summary ?? {};
      return [
        [
          dataset.name,
          h("span", { class: "sub" }, h("code", {}, dataset.id)),
          h("span", { class: "sub" }, `Preprocessing: ${preprocessOf(dataset)}`),
          notesOf(dataset),
        ],
        [
          badge(dataset.status),
          dataset.error && h("span", { class: "sub" }, dataset.error.message),
          dataset.error?.hint && h("span", { class: "sub" }, dataset.error.hint),
        ],
        count(found.num_samples),
        count(found.num_classes),
        found.sample_shape?.join(" × ") ?? "–",
        bytes(dataset.num_bytes),
        timeAgo(dataset.created_at),
      ];
    }),
  );
}

function notes(dataset) {
  const seen = dataset.summary?.network_sees;
  return [
    seen?.min !== undefined && h("p", {}, `The network sees values from ${decimal(seen.min)} to ${decimal(seen.max)}, mean ${decimal(seen.mean)}, std ${decimal(seen.std)}.`),
    dataset.warnings.length > 0 && h("ul", { class: "small" }, dataset.warnings.map((note) => h("li", {}, note))),
  ];
}

/** Return in a few words how pixels become what the network sees. */
function preprocessOf({ preprocess }) {
  const { preset = null, scale = null, mean = [0], std = [1] } = preprocess ?? {};
  if (preset) {
    return preset;
  }
  const isGiven = scale !== null || mean.some((value) => value !== 0) || std.some((value) => value !== 1);
  const scaled = scale === null ? "" : `scale ${decimal(scale)}, `;
  const list = (values) => values.map((value) => decimal(value)).join(", ");
  return isGiven ? `${scaled}mean ${list(mean)}, std ${list(std)}` : "none given";
}

/** Return the notes of a data set of the list, folded up: they are true as long as it is there. */
function notesOf(dataset) {
  return dataset.warnings.length > 0 && h("details", {}, h("summary", {}, plural(dataset.warnings.length, "note")), notes(dataset));
}

function nothing() {
  return emptyState(
    "There is no data set yet",
    "A job works without one, and then does not retrain. To retrain, upload samples that look like what the network will see.",
  );
}
