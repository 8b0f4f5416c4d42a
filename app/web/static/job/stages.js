// A job's progress: its stages, their durations, and the progress of the current stage.

import { h, fill } from "../dom.js";
import { duration, percent, plural, words } from "../format.js";
import { icon } from "../parts/icons.js";
import { FINAL } from "../parts/status.js";
import { DOES, STAGES } from "./stage_list.js";

/** Return {node, update(job, story)}. */
export function stagesPart() {
  const list = h("ol", { class: "stages" });
  const bar = h("span");
  const meter = h(
    "div",
    { class: "meter is-large", role: "progressbar", "aria-label": "Progress of the job", "aria-valuemin": "0", "aria-valuemax": "100" },
    bar,
  );
  const text = h("p", { class: "progress-text" });
  const node = h("div", {}, meter, text, list);
  return {
    node,
    update: (job, story) => {
      const share = job.status === "succeeded" ? 1 : (job.progress?.fraction ?? 0);
      bar.style.setProperty("--share", `${100 * share}%`);
      meter.setAttribute("aria-valuenow", String(Math.round(100 * share)));
      fill(text, progressText(job, share));
      fill(list, stagesOf(job).map((stage) => stageItem(stage, job, story.stages)));
    },
  };
}

/** Return the stages of a job: only some have an int8 file to write. */
function stagesOf(job) {
  const isInt8 = job.resolved?.precision?.kind === "int8";
  return STAGES.filter((stage) => stage !== "quantize" || isInt8);
}

function progressText(job, share) {
  const parts = [h("strong", {}, percent(share, 0))];
  if (job.status === "queued" && job.queue_position !== null) {
    const before = job.queue_position === 0 ? "next in the queue" : `${plural(job.queue_position, "job")} ahead`;
    const wait = job.estimated_wait_seconds;
    parts.push(h("span", {}, wait === null ? before : `${before}, starts in about ${duration(wait)}`));
  } else if (job.status === "validating") {
    parts.push(h("span", {}, "waiting for its model and data set to be validated"));
  } else if (job.status === "running") {
    const { message, eta_seconds: eta } = job.progress ?? {};
    parts.push(h("span", {}, message || (job.stage ? DOES[job.stage] : "about to start")));
    if (eta) {
      parts.push(h("span", { class: "quiet" }, `about ${duration(eta)} left`));
    }
  }
  return parts;
}

function stageItem(stage, job, began) {
  const index = STAGES.indexOf(stage);
  const present = job.stage === null ? -1 : STAGES.indexOf(job.stage);
  const isOver = job.status === "succeeded" || index < present;
  const isPresent = index === present && !isOver;
  const isFailed = isPresent && job.status === "failed";
  const isLive = isPresent && !FINAL.has(job.status);
  const state = isOver ? "is-over" : isFailed ? "is-failed" : isLive ? "is-live" : isPresent ? "is-left" : "is-ahead";
  const sign = isOver ? "check" : isFailed ? "cross" : isPresent ? "dot" : "ring";
  const word = isOver ? "done" : isFailed ? "failed" : isLive ? "in progress" : isPresent ? "stopped" : "pending";
  return h(
    "li",
    { class: `stage ${state}`, "aria-current": isLive ? "step" : null, title: DOES[stage] },
    icon(sign),
    h("span", { class: "stage-name" }, words(stage), h("span", { class: "unseen" }, `: ${word}`)),
    h("span", { class: "stage-time number" }, isOver ? took(stage, job, began) : ""),
  );
}

function took(stage, job, began) {
  const start = began.get(stage);
  if (start === undefined) {
    return "";
  }
  const next = STAGES.slice(STAGES.indexOf(stage) + 1).find((each) => began.has(each));
  const end = next === undefined ? Date.parse(job.finished_at) : began.get(next);
  return Number.isNaN(end) ? "" : duration(Math.max(0, end - start) / 1000);
}
