// Page of one data set: its facts, its classes, problems, and the jobs that used it.

import { read } from "../api.js";
import { h, fill, svg } from "../dom.js";
import { bytes, count, decimal, moment, percent, plural, words } from "../format.js";
import { tagsOf } from "../parts/labels.js";
import { remember } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { preprocessOf } from "../parts/preprocess.js";
import { emptyState, loading, notice, problemPanel } from "../parts/problem.js";
import { renameButton } from "../parts/rename.js";
import { badge } from "../parts/status.js";
import { disclosure, facts, table } from "../parts/table.js";
import { deleteButton } from "../parts/undo.js";
import { watch } from "../polling.js";
import { go } from "../router.js";
import { copyButton } from "./dataset_copy.js";
import { jobTable } from "./jobs.js";

const NEWEST_JOBS = 20;
const SHOWN_CLASSES = 20;

// What the counts of classes count, by kind of labels.
const POINT = 0.03; // radius of a keypoint, as a share of the width
const COUNTED = { boxes: ["Categories", "Boxes"], masks: ["Categories", "Images"], keypoints: ["Keypoints", "Labelled"] };

export async function datasetPage(view) {
  const path = `/v1/datasets/${encodeURIComponent(view.params[0])}`;
  const dataset = await read(path, { signal: view.signal });
  const body = view.begin(dataset.name, { crumbs: [h("a", { href: "#/datasets" }, "Data sets")] });
  const trouble = h("div");
  const found = h("div", { class: "stack" });
  const examples = h("div");
  const jobs = h("div");
  body.append(trouble, found, examples, jobs);
  const show = (now) => {
    remember("datasets", [now]);
    view.setTitle(now.name);
    fill(view.actions, actionsFor(now, { onChange: show, trouble, signal: view.signal }));
    fill(found, about(now), verdictOf(now));
  };
  show(dataset);
  const whose = readJobs(dataset, jobs, view.signal).catch((error) => error.name !== "AbortError" && fill(trouble, problemPanel(error)));
  if (dataset.status === "validating") {
    await watch(1.5, view.signal, async () => {
      const now = await read(path, { signal: view.signal });
      show(now);
      return now.status === "validating";
    });
  }
  await Promise.all([whose, readExamples(path, examples, view.signal).catch(view.ignore)]);
}

function actionsFor(dataset, { onChange, trouble, signal }) {
  const path = `/v1/datasets/${dataset.id}`;
  const onError = (error) => error.name !== "AbortError" && fill(trouble, problemPanel(error));
  return [
    renameButton(dataset, { path, noun: "data set", onChange, signal }),
    deleteButton({
      path,
      name: dataset.name,
      onChange: () => go("/datasets"),
      onError,
    }),
    dataset.status !== "validating" && copyButton(dataset, { onError, signal }),
    dataset.status === "ready" && h("a", { class: "button is-primary", href: `#/jobs/new?dataset=${dataset.id}` }, "Prune with it"),
  ].filter(Boolean);
}

function about(dataset) {
  const found = dataset.summary ?? {};
  const seen = found.network_sees;
  const splits = Object.entries(found.splits ?? {}).map(([name, size]) => `${count(size)} ${name}`);
  return panel(
    "About",
    { actions: [badge(dataset.status)] },
    facts([
      ["Samples", found.num_samples === undefined ? null : count(found.num_samples)],
      ["Splits", splits.length > 0 ? splits.join(", ") : null],
      ["Shape of a sample", found.sample_shape?.join(" × ")],
      ["Labels", found.labels === undefined ? null : words(found.labels)],
      ["Classes", found.num_classes ? count(found.num_classes) : null],
      ["Preprocessing", preprocessOf(dataset)],
      ["The network sees", seen?.min === undefined ? null : `${decimal(seen.min)} to ${decimal(seen.max)}, mean ${decimal(seen.mean)}, std ${decimal(seen.std)}`],
      ["File", `${bytes(dataset.num_bytes)} · ${dataset.format}${dataset.filename ? ` · ${dataset.filename}` : ""}`],
      ["Tags", tagsOf(dataset) || null],
      ["Created", moment(dataset.created_at)],
      ["Id", h("code", {}, dataset.id)],
    ]),
  );
}

function verdictOf(dataset) {
  if (dataset.status === "validating") {
    return [loading("Validating the data set …")];
  }
  if (dataset.status === "rejected") {
    const { message, hint } = dataset.error ?? {};
    return [notice("bad", "This data set was rejected", h("p", { class: "lines" }, message), hint && h("p", { class: "small" }, hint))];
  }
  return [problemsPanel(dataset), classesPanel(dataset.summary ?? {})];
}

function problemsPanel({ warnings }) {
  if (warnings.length === 0) {
    return notice("good", "No problems found", h("p", {}, "Every sample was read. No sample occurs twice, and every class has training samples."));
  }
  return notice("warn", plural(warnings.length, "thing to check", "things to check"), h("ul", {}, warnings.map((each) => h("li", {}, each))));
}

function classesPanel({ class_names: names, class_counts: counts, labels }) {
  if (!counts?.length) {
    return null;
  }
  const [title, unit] = COUNTED[labels] ?? ["Classes", "Samples"];
  const [most, total] = [Math.max(...counts, 1), Math.max(1, counts.reduce((sum, each) => sum + each, 0))];
  const rows = counts.map((number, index) => [
    names?.[index] ?? String(index),
    count(number),
    percent(number / total, 1),
    h("div", { class: "meter" }, h("span", { vars: { "--share": `${(100 * number) / most}%` } })),
  ]);
  const make = (some) => table(`${title} and their counts`, ["Name", [unit, "end"], ["Share", "end"], ["Share of the largest", "wide"]], some);
  const rest = rows.length - SHOWN_CLASSES;
  return panel(
    title,
    { note: `${count(counts.length)}, ${count(total)} ${unit.toLowerCase()} in all` },
    make(rows.slice(0, SHOWN_CLASSES)),
    rest > 0 && disclosure(`The other ${count(rest)}`, () => make(rows.slice(SHOWN_CLASSES))),
  );
}

async function readExamples(path, place, signal) {
  const { data } = await read(`${path}/examples`, { signal });
  if (data.length > 0) {
    fill(place, panel("Examples", { note: "training images, small" }, h("ul", { class: "examples panel-part" }, data.map((each) => exampleFigure(each, signal)))));
  }
}

function exampleFigure({ png, label, width, height, boxes, points }, signal) {
  const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  const src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  signal.addEventListener("abort", () => URL.revokeObjectURL(src));
  const found = [
    ...boxes.map(({ x0, y0, x1, y1 }) => svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 })),
    ...points.map(({ x, y }) => svg("ellipse", { cx: x, cy: y, rx: POINT, ry: (POINT * width) / height })),
  ];
  const alt = boxes.length > 0 ? `${plural(boxes.length, "object")}: ${label}` : label ? `Example of ${label}` : "Example";
  return h(
    "li",
    { class: "example" },
    h(
      "span",
      { class: "example-picture", vars: { "--ratio": width / height } },
      h("img", { src, alt, width, height }),
      found.length > 0 && svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, ...found),
    ),
    h("span", { class: "small" }, label),
  );
}

async function readJobs(dataset, place, signal) {
  const page = await read(`/v1/jobs?limit=${NEWEST_JOBS}&dataset=${dataset.id}`, { signal });
  const list = page.data.length > 0 ? jobTable(page.data, signal) : emptyState("No job has used it yet", "A job retrains and evaluates with the data set.");
  fill(place, panel("Jobs that used it", { note: page.has_more ? `the newest ${NEWEST_JOBS}` : null }, list));
}
