// An image, and what the dense and the pruned network say of it, side by side.

import { announce } from "../announce.js";
import { readAll, read, send } from "../api.js";
import { h, fill } from "../dom.js";
import { compact, decimal, milliseconds, percent } from "../format.js";
import { dropZone } from "../parts/drop.js";
import { nameOf } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { icon } from "../parts/icons.js";

const MOST = 300;
const TOP = 5;

export async function tryPage(view) {
  const body = view.begin("Try it", {
    lead: "Drop an image and see what the dense and the pruned network make of it. It is preprocessed as the model’s data set was.",
  });
  fill(body, loading("Reading the models …"));
  const models = (await readAll("/v1/models", MOST, { signal: view.signal })).filter((model) => model.status === "ready");
  if (models.length === 0) {
    fill(body, emptyState("There is no model to ask", "Upload one first.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model")));
    return;
  }
  const answer = h("div", { "aria-live": "polite" });
  const choose = modelChoice(models, view.query.get("model"));
  let shown = null;
  const ask = async (file) => {
    shown = file;
    fill(answer, loading("The networks look at it …"));
    try {
      const found = await infer(choose.model, file, view.signal);
      if (shown === file) {
        fill(answer, found);
        announce("The networks have answered.");
      }
    } catch (error) {
      if (shown === file && error.name !== "AbortError") {
        fill(answer, problemPanel(error, { title: "There is no answer" }));
      }
    }
  };
  choose.control.addEventListener("change", () => shown !== null && ask(shown));
  fill(
    body,
    panel(
      "Image",
      {},
      h("div", { class: "form" }, choose.node, dropZone({
        prompt: "Choose an image",
        hint: "PNG, JPEG, WebP, BMP, GIF, TIFF or PPM. It goes to the service and is not kept.",
        accept: "image/png,image/jpeg,image/webp",
        onFile: ask,
      })),
    ),
    answer,
  );
}

function modelChoice(models, wanted) {
  const sorted = [...models].sort((one, other) => (other.parent !== null) - (one.parent !== null));
  const control = h(
    "select",
    { id: "try-model" },
    sorted.map((model) => h("option", { value: model.id }, `${nameOf(model)} · ${compact(model.num_parameters)} parameters${model.parent === null ? "" : " · pruned"}`)),
  );
  control.value = wanted ?? sorted[0].id;
  if (control.selectedIndex < 0) {
    control.selectedIndex = 0;
  }
  return {
    control,
    node: h("div", { class: "field is-limited" }, h("label", { class: "label", for: control.id }, "Model"), control),
    get model() {
      return models.find((model) => model.id === control.value);
    },
  };
}

async function infer(model, file, signal) {
  const hasBase = model.parent !== null;
  const variant = hasBase ? "both" : "pruned";
  const response = await send(`/v1/models/${model.id}/infer?top_k=${TOP}&variant=${variant}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": file.type || "image/png" },
    signal,
  });
  const found = await response.json();
  const own = found.labels?.[0] ?? null;
  const picture = URL.createObjectURL(file);
  signal.addEventListener("abort", () => URL.revokeObjectURL(picture));
  const image = h("figure", { class: "seen" }, h("img", { src: picture, alt: `The image ${file.name}` }), h("figcaption", { class: "hint" }, file.name));
  if (own === null) {
    return h("div", { class: "answers" }, image, plain(found));
  }
  if (!hasBase) {
    return h("div", { class: "answers" }, image, answerPanel(nameOf(model), own, null));
  }
  const dense = await read(`/v1/models/${model.parent}`, { signal });
  const { seconds, max_difference: difference } = found.comparison;
  const before = bestOf(found.base.outputs[0], model.class_names ?? dense.class_names ?? []);
  return [
    h(
      "div",
      { class: "answers is-pair" },
      image,
      answerPanel("Dense", before, { seconds: seconds.base, model: dense }),
      answerPanel("Pruned", own, { seconds: seconds.pruned, model }),
    ),
    verdict(before[0], own[0], difference),
  ];
}

function verdict(before, after, difference) {
  const isSame = before.index === after.index;
  return h(
    "p",
    { class: `agreement ${isSame ? "is-good" : "is-warn"}` },
    icon(isSame ? "check" : "warning"),
    h("span", {}, isSame ? `Both say ${after.label}.` : `They differ: ${before.label} before, ${after.label} after.`),
    h("span", { class: "quiet" }, `Largest difference of two outputs: ${decimal(difference)}.`),
  );
}

/** Return the best classes of raw outputs, as the service does it for labels: softmax, sorted. */
export function bestOf(outputs, names) {
  const most = Math.max(...outputs);
  const raised = outputs.map((value) => Math.exp(value - most));
  const sum = raised.reduce((all, value) => all + value, 0);
  return raised
    .map((value, index) => ({ label: names[index] ?? String(index), index, score: value / sum }))
    .sort((one, other) => other.score - one.score || one.index - other.index)
    .slice(0, TOP);
}

function answerPanel(title, labels, about) {
  const note = about && `${compact(about.model.macs)} MACs · ${milliseconds(about.seconds)}`;
  return panel(
    title,
    { note },
    h(
      "ol",
      { class: "guesses" },
      labels.map(({ label, score }) =>
        h(
          "li",
          {},
          h("span", { class: "guess-name" }, label),
          h("span", { class: "number" }, percent(score, 1)),
          h("span", { class: "meter", "aria-hidden": "true" }, h("span", { vars: { "--share": `${100 * score}%` } })),
        ),
      ),
    ),
  );
}

function plain(found) {
  return panel("Outputs", { note: "these are no scores of classes" }, h("pre", { class: "code", tabindex: "0" }, JSON.stringify(found.outputs, null, 1)));
}
