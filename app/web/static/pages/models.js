// List of models with their status, and the upload form.

import { readAll } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { bytes, compact } from "../format.js";
import { ACCEPT, TAKEN } from "../parts/file_kinds.js";
import { tagsOf } from "../parts/labels.js";
import { nameOf, remember } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { UPLOADS, filtersPart } from "../parts/filters.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { deleteButton } from "../parts/undo.js";
import { uploadForm, verdictNotice } from "../parts/upload.js";
import { watch } from "../polling.js";
import { exampleButton } from "./example.js";
import { weightsFields } from "./weights.js";

const MOST = 300;

export async function modelsPage(view) {
  const body = view.begin("Models", {
    lead: "Your uploaded and pruned models. A model can be pruned and used once it is ready.",
  });
  const said = h("div");
  const list = h("div", {}, loading("Loading models …"));
  const trouble = h("div");
  let again = () => {};
  const filters = filtersPart({ label: "Search names and tags", choices: UPLOADS, onChange: () => again() });
  const tools = { onChange: () => again(), onError: (error) => fill(trouble, problemPanel(error)), signal: view.signal };
  const onDone = (model) => {
    const link = h("a", { href: `#/jobs/new?model=${model.id}` }, "Prune it");
    fill(said, verdictNotice(model, "model", link));
    again();
  };
  body.append(
    panel(
      "Upload a model",
      {},
      uploadForm({
        path: "/v1/models",
        use: "model",
        noun: "model",
        hint: TAKEN.model,
        accept: ACCEPT.model,
        more: weightsFields,
        onDone,
        signal: view.signal,
      }),
      said,
    ),
    panel("All models", { actions: [filters.node] }, trouble, list),
  );
  const show = async () => {
    const models = await readAll("/v1/models", MOST, { signal: view.signal }, filters.params());
    remember("models", models.filter((model) => model.status === "ready"));
    refill(list, models.length === 0 ? nothing(filters.isNarrowed, view.signal) : modelTable(models, tools));
    return models;
  };
  again = () => show().catch((error) => error.name !== "AbortError" && tools.onError(error));
  await watch(3, view.signal, async () => {
    const models = await show();
    return models.some((model) => model.status === "validating");
  });
}

/** Return a table of models. */
export function modelTable(models, tools = null) {
  const columns = ["Name", "Status", ["Parameters", "end"], ["MACs", "end"], ["File", "end not-narrow"], ["Uploaded", "not-narrow"], ...(tools ? [["Delete", "end not-narrow"]] : [])];
  return table(
    "Models",
    columns,
    models.map((model) => [
      [
        h("a", { href: `#/models/${model.id}` }, nameOf(model)),
        model.parent !== null && h("span", { class: "sub" }, "pruned"),
        tagsOf(model),
      ],
      [badge(model.status), model.error && h("span", { class: "sub" }, model.error.message)],
      compact(model.num_parameters),
      compact(model.macs),
      bytes(model.num_bytes),
      timeAgo(model.created_at),
      ...(tools ? [deleteButton({ path: `/v1/models/${model.id}`, name: nameOf(model), isSmall: true, ...tools })] : []),
    ]),
  );
}

function nothing(isNarrowed, signal) {
  if (isNarrowed) {
    return emptyState("Nothing found", "Nothing has this text in its name or a tag.");
  }
  return emptyState(
    "No models yet",
    "Export one with torch.export.save, or take an ONNX file, and upload it above. Only files without code are accepted.",
    exampleButton(signal),
  );
}
