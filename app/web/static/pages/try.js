// Run the dense and the pruned network on an image and show the results side by side.

import { announce } from "../announce.js";
import { readAll, read, send } from "../api.js";
import { h, fill } from "../dom.js";
import { compact, decimal, milliseconds, percent } from "../format.js";
import { dropZone } from "../parts/drop.js";
import { nameOf } from "../parts/names.js";
import { foundIn, hasFound, wordsOf } from "../parts/found.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { icon } from "../parts/icons.js";

const MOST = 300;
const TOP = 5;

export async function tryPage(view) {
  const body = view.begin("Try it", {
    lead: "Drop an image to compare the predictions of the dense and the pruned network. It is preprocessed like the model’s data set.",
  });
  fill(body, loading("Loading models …"));
  const models = (await readAll("/v1/models", MOST, { signal: view.signal })).filter((model) => model.status === "ready");
  if (models.length === 0) {
    fill(body, emptyState("No model to run", "Upload one first.", h("a", { class: "button is-primary", href: "#/models" }, "Upload a model")));
    return;
  }
  const answer = h("div", { "aria-live": "polite" });
  const choose = modelChoice(models, view.query.get("model"));
  let shown = null;
  const ask = async (file) => {
    shown = file;
    fill(answer, loading("Running the networks …"));
    try {
      const found = await infer(choose.model, file, view.signal);
      if (shown === file) {
        fill(answer, found);
        announce("The predictions are ready.");
      }
    } catch (error) {
      if (shown === file && error.name !== "AbortError") {
        fill(answer, problemPanel(error, { title: "The image could not be read" }));
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
        hint: "PNG, JPEG, WebP, BMP, GIF, TIFF or PPM. The image is sent to the service and not stored.",
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
  const variant = hasBase ? (model.variants.includes("int8") ? "all" : "both") : "pruned";
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
  if (hasFound(found)) {
    return compared(found, image, picture, model, signal);
  }
  if (own === null) {
    return h("div", { class: "answers" }, image, plain(found));
  }
  if (!hasBase) {
    return h("div", { class: "answers" }, image, answerPanel(nameOf(model), own, null));
  }
  const dense = await read(`/v1/models/${model.parent}`, { signal });
  const { seconds, max_difference: difference } = found.comparison;
  const names = model.class_names ?? dense.class_names ?? [];
  const before = bestOf(found.base.outputs[0], names);
  const small = found.int8 ? bestOf(found.int8.outputs[0], names) : null;
  return [
    h(
      "div",
      { class: small ? "answers is-triple" : "answers is-pair" },
      image,
      answerPanel("Dense", before, { seconds: seconds.base, model: dense }),
      answerPanel("Pruned", own, { seconds: seconds.pruned, model }),
      small && answerPanel("Pruned, int8", small, { seconds: seconds.int8, model }),
    ),
    verdict(before[0], own[0], difference, small?.[0]),
  ];
}

/** Return what the networks found, dense beside pruned. */
async function compared(found, image, picture, model, signal) {
  if (!found.base || !hasFound(found.base)) {
    return h("div", { class: "answers" }, image, panel(nameOf(model), {}, h("div", { class: "panel-part" }, foundIn(found, picture, signal))));
  }
  const dense = await read(`/v1/models/${model.parent}`, { signal });
  const { seconds } = found.comparison;
  const part = (title, answer, about, time) =>
    panel(title, { note: `${compact(about.macs)} MACs · ${milliseconds(time)}` }, h("div", { class: "panel-part" }, foundIn(answer, picture, signal)));
  const [before, after] = [wordsOf(found.base), wordsOf(found)];
  const small = found.int8 && part("Pruned, int8", found.int8, model, seconds.int8);
  return [
    h("div", { class: small ? "answers is-triple" : "answers is-pair" }, image, part("Dense", found.base, dense, seconds.base), part("Pruned", found, model, seconds.pruned), small),
    h(
      "p",
      { class: `agreement ${before === after ? "is-good" : "is-warn"}` },
      icon(before === after ? "check" : "warning"),
      h("span", {}, before === after ? `Both found ${after}.` : `Dense found ${before}, pruned ${after}.`),
    ),
  ];
}

function verdict(before, after, difference, small) {
  const all = [[before, "dense"], [after, "pruned"], [small, "int8"]].filter(([found]) => found);
  const isSame = all.every(([found]) => found.index === before.index);
  const words = all.map(([found, name]) => `${found.label} (${name})`).join(", ");
  return h(
    "p",
    { class: `agreement ${isSame ? "is-good" : "is-warn"}` },
    icon(isSame ? "check" : "warning"),
    h("span", {}, isSame ? `${small ? "All" : "Both"} predict ${after.label}.` : `They disagree: ${words}.`),
    h("span", { class: "quiet" }, `Largest difference between outputs of dense and pruned: ${decimal(difference)}.`),
  );
}

/** Return the top classes of raw outputs as the service does for labels: softmax, sorted. */
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
  return panel("Outputs", { note: "not class scores" }, h("pre", { class: "code", tabindex: "0" }, JSON.stringify(found.outputs, null, 1)));
}
