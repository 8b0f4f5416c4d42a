// Buttons for the actions that a job's status allows.

import { announce } from "../announce.js";
import { post } from "../api.js";
import { h, fill } from "../dom.js";
import { shortId } from "../format.js";
import { problemPanel } from "../parts/problem.js";
import { renameButton } from "../parts/rename.js";
import { FINAL } from "../parts/status.js";
import { deleteButton } from "../parts/undo.js";
import { go } from "../router.js";
import { shareButton } from "./share.js";

const MAY_PAUSE = new Set(["queued", "running"]);
const ANNOUNCEMENTS = { cancel: "Cancelling.", pause: "Pausing.", resume: "Resuming." };

/** Return {nodes(job), trouble}: a job's buttons and the element for errors. */
export function jobActions(onChange, signal) {
  const trouble = h("div");
  const act = async (job, name, button) => {
    button.disabled = true;
    fill(trouble);
    try {
      const changed = await post(job.urls[name], undefined, { signal });
      if (name === "retry") {
        location.reload(); // the page follows a job until it ends, and this one had ended
        return;
      }
      onChange(changed);
      announce(ANNOUNCEMENTS[name]);
    } catch (error) {
      if (error.name !== "AbortError") {
        button.disabled = false;
        fill(trouble, problemPanel(error));
      }
    }
  };
  const button = (job, name, text, tone = "") => {
    const node = h(
      "button",
      { type: "button", class: `button ${tone}`.trim(), on: { click: () => act(job, name, node) } },
      text,
    );
    return node;
  };
  const nodes = (job) => [
    MAY_PAUSE.has(job.status) && button(job, "pause", "Pause"),
    job.status === "failed" && button(job, "retry", "Try again", "is-primary"),
    job.status === "paused" && button(job, "resume", "Resume", "is-primary"),
    !FINAL.has(job.status) && job.status !== "cancelling" && button(job, "cancel", "Cancel", "is-danger"),
    renameButton(job, { path: job.urls.self, noun: "job", isOptional: true, onChange, signal }),
    FINAL.has(job.status) &&
      deleteButton({
        path: job.urls.self,
        name: job.name ?? shortId(job.id),
        onChange: () => go("/jobs"),
        onError: (error) => error.name !== "AbortError" && fill(trouble, problemPanel(error)),
      }),
    job.result !== null && shareButton(job, signal),
    h("a", { class: "button", href: `#/jobs/new?from=${job.id}` }, "Run again with changes"),
    job.result?.model && h("a", { class: "button is-primary", href: `#/try?model=${job.result.model}` }, "Try it"),
  ];
  return { nodes, trouble };
}
