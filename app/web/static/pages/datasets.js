// List of data sets with their summaries, and the upload form.

import { read, readAll } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { bytes, count, decimal, plural } from "../format.js";
import { ACCEPT, TAKEN } from "../parts/file_kinds.js";
import { tagsOf } from "../parts/labels.js";
import { panel } from "../parts/panel.js";
import { UPLOADS, filtersPart } from "../parts/filters.js";
import { preprocessFields, preprocessOf } from "../parts/preprocess.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { deleteButton } from "../parts/undo.js";
import { uploadForm, verdictNotice } from "../parts/upload.js";
import { watch } from "../polling.js";

const MOST = 300;

export async function datasetsPage(view) {
  const body = view.begin("Data sets", {
    lead: "Samples for retraining and evaluation. Labels are optional: without them, the pruned network learns from the dense one.",
  });
  const said = h("div");
  const list = h("div", {}, loading("Loading data sets …"));
  const trouble = h("div");
  let again = () => {};
  const filters = filtersPart({ label: "Search names and tags", choices: UPLOADS, onChange: () => again() });
  const tools = { onChange: () => again(), onError: (error) => fill(trouble, problemPanel(error)), signal: view.signal };
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
        use: "dataset",
        noun: "data set",
        hint: TAKEN.dataset,
        accept: ACCEPT.dataset,
        more: () => preprocessFields(schema),
        onDone,
        signal: view.signal,
      }),
      said,
    ),
    panel("All data sets", { actions: [filters.node] }, trouble, list),
  );
  const show = async () => {
    const datasets = await readAll("/v1/datasets", MOST, { signal: view.signal }, filters.params());
    refill(list, datasets.length === 0 ? nothing(filters.isNarrowed) : datasetTable(datasets, tools));
    return datasets;
  };
  again = () => show().catch((error) => error.name !== "AbortError" && tools.onError(error));
  await watch(3, view.signal, async () => {
    const datasets = await show();
    return datasets.some((dataset) => dataset.status === "validating");
  });
}

function datasetTable(datasets, tools) {
  const columns = ["Name", "Status", ["Samples", "end"], ["Classes", "end not-narrow"], ["Shape", "not-narrow"], ["File", "end not-narrow"], ["Uploaded", "not-narrow"], ["Delete", "end not-narrow"]];
  return table(
    "Data sets",
    columns,
    datasets.map((dataset) => {
      const found = dataset.summary ?? {};
      return [
        [
          h("a", { href: `#/datasets/${dataset.id}` }, dataset.name),
          tagsOf(dataset),
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
        deleteButton({ path: `/v1/datasets/${dataset.id}`, name: dataset.name, isSmall: true, ...tools }),
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

/** Return a data set's notes, collapsed. */
function notesOf(dataset) {
  return dataset.warnings.length > 0 && h("details", {}, h("summary", {}, plural(dataset.warnings.length, "note")), notes(dataset));
}

function nothing(isNarrowed) {
  if (isNarrowed) {
    return emptyState("Nothing found", "Nothing has this text in its name or a tag.");
  }
  return emptyState(
    "No data sets yet",
    "Without a data set, a job prunes but does not retrain. To retrain, upload samples like those the network will see in use.",
  );
}
