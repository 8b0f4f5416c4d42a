// Up to four jobs side by side: results, and where their configs differ.

import { read } from "../api.js";
import { h } from "../dom.js";
import { decimal, duration, percent, shortId, words } from "../format.js";
import { METRICS } from "../job/metrics.js";
import { panel } from "../parts/panel.js";
import { emptyState } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";

const NOTHING = "–";

export async function comparePage(view) {
  const ids = view.query.getAll("job");
  const crumbs = [h("a", { href: "#/jobs" }, "Jobs")];
  if (ids.length === 0) {
    view.begin("Compare jobs", { crumbs }).append(emptyState("No jobs to compare", "Choose two to four in the list of jobs.", h("a", { class: "button", href: "#/jobs" }, "All jobs")));
    return;
  }
  const query = ids.map((id) => `job=${encodeURIComponent(id)}`).join("&");
  const found = await read(`/v1/jobs:compare?${query}`, { signal: view.signal });
  const body = view.begin("Compare jobs", { crumbs, lead: "Differences within the intervals may be chance." });
  const heads = found.jobs.map((job) => [h("a", { href: `#/jobs/${job.job}` }, job.name ?? shortId(job.job)), "end"]);
  body.append(
    panel("Results", {}, table("Results of the jobs", ["Measure", ...heads], resultRows(found.jobs))),
    panel("Where the configs differ", {}, differencesOf(found, heads)),
  );
}

function resultRows(jobs) {
  const row = (title, show) => [title, ...jobs.map((job) => show(job) ?? NOTHING)];
  const isShare = (job) => METRICS[job.metric]?.isShare ?? true;
  const value = (job, number) => (isShare(job) ? percent(number) : decimal(number));
  const span = (job) => job.interval && h("span", { class: "sub" }, `${value(job, job.interval[0])} to ${value(job, job.interval[1])}`);
  return [
    row("Status", (job) => badge(job.status)),
    row("Verdict", (job) => job.verdict && words(job.verdict)),
    row("Goal", (job) => job.goal && words(job.goal)),
    row("Model", (job) => job.model),
    row("Data set", (job) => job.dataset),
    row("Quality", (job) => job.value !== null && [value(job, job.value), span(job)]),
    row("Quality of the dense network", (job) => job.dense_value !== null && value(job, job.dense_value)),
    row("Speed", (job) => job.speedup !== null && [`${job.speedup.toFixed(2)}x`, h("span", { class: "sub" }, job.speedup_interval.map((end) => end.toFixed(2)).join(" to "))]),
    row("MACs left", (job) => job.macs_share !== null && percent(job.macs_share, 1)),
    row("Parameters left", (job) => job.params_share !== null && percent(job.params_share, 1)),
    row("Ran for", (job) => job.seconds_run > 0 && duration(job.seconds_run)),
  ].map((cells) => cells.map((cell) => (cell === false ? NOTHING : cell)));
}

function differencesOf(found, heads) {
  const rows = Object.entries(found.differences).map(([pointer, values]) => [
    h("code", {}, pointer.slice(1).replaceAll("/", ".")),
    ...values.map((value) => (value === null ? NOTHING : typeof value === "object" ? JSON.stringify(value) : String(value))),
  ]);
  return rows.length === 0 ? h("p", { class: "quiet" }, "They do not differ.") : table("Differences of the configs", ["Setting", ...heads.map(([link, kind]) => [link.cloneNode(true), kind])], rows);
}
