// List of jobs, newest first.

import { read } from "../api.js";
import { h, refill } from "../dom.js";
import { percent, shortId } from "../format.js";
import { modelLink } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading } from "../parts/problem.js";
import { FINAL, badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { noticeChange, watch } from "../polling.js";
import { headlineMetric } from "../job/summary.js";

const AT_ONCE = 20;

export async function jobsPage(view) {
  const after = view.query.get("after");
  const body = view.begin("Jobs", {
    lead: "Your pruning jobs, running and finished.",
    actions: [h("a", { class: "button is-primary", href: "#/jobs/new" }, "Start a job")],
  });
  const list = h("div", {}, loading("Loading jobs …"));
  const older = h("p", { class: "actions" });
  body.append(panel(after === null ? "Newest first" : "Older jobs", {}, list, older));
  const isNew = noticeChange();
  const path = `/v1/jobs?limit=${AT_ONCE}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`;
  await watch(4, view.signal, async () => {
    const page = await read(path, { signal: view.signal });
    if (isNew(page)) {
      refill(list, page.data.length === 0 ? noJobs() : jobTable(page.data, view.signal));
    }
    refill(older, page.has_more && h("a", { class: "button", href: `#/jobs?after=${page.next_after}` }, "Older jobs"));
    return after === null || page.data.some((job) => !FINAL.has(job.status));
  });
}

/** Return a table of jobs. */
export function jobTable(jobs, signal) {
  const columns = ["Job", "Status", ["MACs left", "end"], ["Quality", "end"], ["Created", "not-narrow"]];
  return table(
    "Jobs",
    columns,
    jobs.map((job) => {
      const summary = job.result?.summary;
      return [
        [
          h("a", { class: "nowrap", href: `#/jobs/${job.id}` }, shortId(job.id)),
          job.model !== null && h("span", { class: "sub" }, modelLink(job.model, signal)),
        ],
        [badge(job.status), progressOf(job)],
        summary ? percent(summary.retrained.macs / Math.max(1, summary.dense.macs), 1) : "–",
        summary ? headlineMetric(summary) : "–",
        timeAgo(job.created_at),
      ];
    }),
  );
}

/** Return the empty state of the list of jobs. */
export function noJobs() {
  return emptyState(
    "No jobs yet",
    "A job prunes a model, retrains it, verifies the result and measures it. The defaults work well.",
    h("a", { class: "button is-primary", href: "#/jobs/new" }, "Start a job"),
  );
}

function progressOf(job) {
  if (job.status === "running" && job.progress !== null) {
    return h("span", { class: "sub" }, `${job.stage ?? "starting"}, ${percent(job.progress.fraction, 0)}`);
  }
  if (job.status === "failed" && job.error !== null) {
    return h("span", { class: "sub" }, job.error.message);
  }
  return null;
}
