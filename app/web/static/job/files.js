// What a job made, to be downloaded.

import { h, fill } from "../dom.js";
import { download } from "../downloads.js";
import { bytes } from "../format.js";
import { icon } from "../parts/icons.js";
import { panel } from "../parts/panel.js";
import { problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";

const WHAT = {
  "model.onnx": "The network as it is served",
  "pruned.pt2": "The network for torch.export.load",
  "weights.safetensors": "Its weights under your own parameter names",
  "plan.json": "What was kept, with every number that led to it",
  "report.json": "Everything that was found out",
  "report.html": "The same, to be read and passed on",
  "saliency_curves.svg": "All curves in one picture",
  "manifest.json": "The hashes of them all",
};

/** Return the panel of a job's artifacts. */
export function filesPart(artifacts, signal) {
  const trouble = h("div");
  const rows = artifacts.map((artifact) => [
    [h("code", {}, artifact.name), h("span", { class: "sub" }, WHAT[artifact.name] ?? artifact.media_type)],
    bytes(artifact.num_bytes),
    h("code", { title: artifact.sha256 }, `${artifact.sha256.slice(0, 12)}…`),
    downloadButton(artifact, trouble, signal),
  ]);
  return panel("Files", {}, table("Files", ["Name", ["Size", "end"], "SHA-256", ["", "end"]], rows), trouble);
}

function downloadButton(artifact, trouble, signal) {
  const start = async () => {
    button.disabled = true;
    fill(trouble);
    try {
      await download(artifact.urls.content, artifact.name, signal);
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title: `${artifact.name} was not downloaded` }));
      }
    }
    button.disabled = false;
  };
  const button = h(
    "button",
    { type: "button", class: "button is-small", "aria-label": `Download ${artifact.name}`, on: { click: start } },
    icon("down"),
    "Download",
  );
  return button;
}
