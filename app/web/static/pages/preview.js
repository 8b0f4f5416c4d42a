// Live preview of a job's plan while the user fills in the form.

import { ProblemError, post } from "../api.js";
import { h, fill } from "../dom.js";
import { compact, count, milliseconds, percent } from "../format.js";
import { widthBars, widthLegend } from "../job/layers.js";
import { metricLabel, metricText } from "../job/summary.js";
import { warningNotices } from "../parts/findings.js";
import { loading, notice, problemPanel } from "../parts/problem.js";
import { disclosure } from "../parts/table.js";

const QUIET_SECONDS = 0.6; // after the last change, before a request is sent
const WAIT_SECONDS = 120;
const SHOWN = 20;

/**
 * Return {node, ask(body)}, which shows the plan for the latest body.
 *
 * An outdated request is aborted, which also stops the work on the service. `onPlan` receives the
 * layers of a plan, or null if there is none; `onProblem` receives the error's details, or an empty
 * list if there are none.
 */
export function previewPart({ onPlan, onProblem, signal }) {
  const place = h("div", { "aria-live": "polite", "aria-busy": "false" });
  let timer = null;
  let asking = null;
  const ask = async (body) => {
    asking = new AbortController();
    const own = asking;
    place.setAttribute("aria-busy", "true");
    fill(place, loading("Planning …"));
    try {
      const send = (each) => post(`/v1/jobs:plan?wait=${WAIT_SECONDS}`, each, { signal: own.signal });
      const quick = withoutRepair(body);
      if (quick) {
        // The repair of the planned network takes seconds: show its size before its quality.
        showPlan(await send(quick), "Its quality is being measured …");
        place.setAttribute("aria-busy", "true");
      }
      const plan = await send(body);
      showPlan(plan, qualityText(plan));
    } catch (error) {
      if (own.signal.aborted) {
        return; // a newer request replaced this one
      }
      show(problemPanel(error, { title: "The preview failed" }), error instanceof ProblemError ? error.problem.errors : []);
    }
  };
  const show = (nodes, details) => {
    place.setAttribute("aria-busy", "false");
    fill(place, nodes);
    onProblem(details);
  };
  const showPlan = (plan, quality) => {
    show(planned(plan, quality), []);
    onPlan(plan.groups);
  };
  const stop = () => {
    clearTimeout(timer);
    asking?.abort();
  };
  signal.addEventListener("abort", stop);
  return {
    node: place,
    ask: (body) => {
      stop();
      if (body === null) {
        fill(place, h("p", { class: "quiet" }, "Choose a model to see a preview."));
        return;
      }
      if (body.config?.selection?.mode === "accuracy") {
        // The form is valid, but the service plans no search.
        onPlan(null);
        show(notice("idle", "No preview for this option", h("p", {}, "A search decides by retraining, so its result is known only after the job has run.")), []);
        return;
      }
      timer = setTimeout(ask, QUIET_SECONDS * 1000, body);
    },
  };
}

/** Return a body whose plan is the same and needs no repair; null if the body itself needs none. */
function withoutRepair(body) {
  const config = body.config ?? {};
  const isNeeded = body.dataset && config.repair?.kind !== "none" && config.criterion?.kind !== "auto" && config.schedule?.kind !== "iterative";
  return isNeeded ? { ...body, config: { ...config, repair: { ...config.repair, kind: "none" } } } : null;
}

function planned(plan, quality) {
  const layers = plan.groups;
  const { target } = plan;
  const cards = [
    ["MACs left", compact(plan.dense.macs), compact(plan.pruned.macs), plan.left.macs],
    ["Parameters left", compact(plan.dense.num_parameters), compact(plan.pruned.num_parameters), plan.left.num_parameters],
    target && [`Latency left on ${target.name}, predicted`, milliseconds(target.dense_seconds), milliseconds(target.predicted_seconds), target.predicted],
  ];
  const total = layers.reduce((sum, layer) => sum + layer.num_groups, 0);
  const removed = layers.reduce((sum, layer) => sum + layer.num_groups - layer.num_kept, 0);
  return [
    h(
      "dl",
      { class: "cards" },
      cards.filter(Boolean).map(([name, before, after, left]) =>
        h(
          "div",
          { class: "card" },
          h("dt", { class: "card-name" }, name),
          h("dd", { class: "card-value" }, percent(left, 1), h("span", { class: "card-more" }, `${before} → ${after}`)),
        ),
      ),
    ),
    warningNotices(plan.warnings, plan.findings).map((each) => h("div", { class: "panel-part" }, each)),
    h("p", { class: "panel-part quiet" }, `${count(removed)} of ${count(total)} filters removed. ${quality}`),
    h("div", { class: "panel-part" }, widthLegend()),
    h("div", { class: "panel-part" }, widthBars(layers.slice(0, SHOWN))),
    layers.length > SHOWN && disclosure(`The other ${layers.length - SHOWN} layers`, () => widthBars(layers.slice(SHOWN))),
  ];
}

/** Return what is known of the planned network's quality, and how it is repaired. */
function qualityText({ quality, repair }) {
  if (!quality) {
    const folded = repair === "fold" ? "The job folds them into similar filters, because there are no samples to refit the others from. " : "";
    return `${folded}The quality is known after the job has run.`;
  }
  const [dense, repaired] = [quality.dense, quality.repaired].map((value) => metricText(quality.metric, value));
  return `${metricLabel(quality.metric)} after repair, without training: ${repaired} on ${count(quality.num_samples)} validation samples (dense ${dense}).`;
}
