// Panel of a job's artifacts with download buttons.

import { h, fill } from "../dom.js";
import { download } from "../downloads.js";
import { bytes } from "../format.js";
import { icon } from "../parts/icons.js";
import { panel } from "../parts/panel.js";
import { problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";
import { EXPORT_FILES } from "./export_files.js";

const DESCRIPTIONS = {
  ...EXPORT_FILES,
  "plan.json": "The kept filters, with every number behind the choice",
  "report.json": "All results as JSON",
  "report.html": "All results as a page to read and share",
  "saliency_curves.svg": "All saliency curves in one picture",
  "manifest.json": "SHA-256 hashes of all files",
};

/** Return the panel of a job's artifacts. */
export function filesPart(artifacts, signal) {
  const trouble = h("div");
  const rows = artifacts.map((artifact) => [
    [h("code", {}, artifact.name), h("span", { class: "sub" }, DESCRIPTIONS[artifact.name] ?? artifact.media_type)],
    bytes(artifact.num_bytes),
    h("code", { title: artifact.sha256 }, `${artifact.sha256.slice(0, 12)}…`),
    downloadButton(artifact, trouble, signal),
  ]);
  return panel("Files", {}, table("Files", ["Name", ["Size", "end"], "SHA-256", ["", "end"]], rows), trouble);
}

/** Return a button that downloads a file and shows what went wrong in `trouble`. */
export function downloadButton(artifact, trouble, signal, text = "Download") {
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
    { type: "button", class: "button is-small", "aria-label": text === "Download" ? `Download ${artifact.name}` : null, on: { click: start } },
    icon("down"),
    text,
  );
  return button;
}
