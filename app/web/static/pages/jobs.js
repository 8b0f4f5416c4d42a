// List of jobs, newest first: search, filter, choose some to compare, delete.

import { read } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { percent, shortId } from "../format.js";
import { headlineMetric } from "../job/summary.js";
import { filtersPart } from "../parts/filters.js";
import { tagsOf } from "../parts/labels.js";
import { modelLink } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading, problemPanel } from "../parts/problem.js";
import { FINAL, badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { deleteButton } from "../parts/undo.js";
import { noticeChange, watch } from "../polling.js";
import { go } from "../router.js";
import { exampleButton } from "./example.js";

const AT_ONCE = 20;
const MOST_COMPARED = 4;
const STATES = [
  ["All jobs", ""],
  ["Succeeded", "status=succeeded"],
  ["Running or waiting", "status=running&status=queued&status=validating&status=paused"],
  ["Failed or cancelled", "status=failed&status=cancelled&status=expired"],
];

export async function jobsPage(view) {
  const after = view.query.get("after");
  const body = view.begin("Jobs", {
    lead: "Your pruning jobs, running and finished.",
    actions: [h("a", { class: "button is-primary", href: "#/jobs/new" }, "Start a job")],
  });
  const list = h("div", {}, loading("Loading jobs …"));
  const older = h("p", { class: "actions" });
  const trouble = h("div");
  const chosen = chosenPart();
  let reload = () => {};
  const filters = filtersPart({ label: "Search names, tags and models", choices: STATES, onChange: () => reload() });
  body.append(panel(after === null ? "Newest first" : "Older jobs", { actions: [filters.node, chosen.node] }, trouble, list, older));
  const isNew = noticeChange();
  const show = async () => {
    const wanted = filters.params();
    const page = await read(`/v1/jobs?limit=${AT_ONCE}${after === null ? "" : `&after=${encodeURIComponent(after)}`}${wanted}`, { signal: view.signal });
    if (wanted === filters.params() && isNew(page)) {
      const tools = { chosen, onDelete: () => reload(), onError: (error) => fill(trouble, problemPanel(error)) };
      const nothing = filters.isNarrowed ? emptyState("No such jobs", "No job has this text in its name, its tags or its model's name.") : noJobs(view.signal);
      refill(list, page.data.length === 0 ? nothing : jobTable(page.data, view.signal, tools));
    }
    refill(older, page.has_more && h("a", { class: "button", href: `#/jobs?after=${page.next_after}` }, "Older jobs"));
    return page;
  };
  reload = () => show().catch((error) => error.name !== "AbortError" && fill(trouble, problemPanel(error)));
  await watch(4, view.signal, async () => {
    await show();
  });
}

/** Return a table of jobs. With `tools` each row can be chosen for a comparison and deleted. */
export function jobTable(jobs, signal, tools = null) {
  const columns = ["Job", "Status", ["MACs left", "end"], ["Quality", "end"], ["Created", "not-narrow"], ...(tools ? [["Delete", "end not-narrow"]] : [])];
  return table(
    "Jobs",
    columns,
    jobs.map((job) => {
      const summary = job.result?.summary;
      const name = job.name ?? shortId(job.id);
      return [
        [
          h("span", { class: "pick" }, tools?.chosen.box(job.id, name), h("a", { class: job.name === null ? "nowrap" : null, href: `#/jobs/${job.id}` }, name)),
          job.model !== null && h("span", { class: "sub" }, modelLink(job.model, signal)),
          tagsOf(job),
        ],
        [badge(job.status), progressOf(job)],
        summary ? percent(summary.retrained.macs / Math.max(1, summary.dense.macs), 1) : "–",
        summary ? headlineMetric(summary) : "–",
        timeAgo(job.created_at),
        ...(tools
          ? [
              FINAL.has(job.status) && deleteButton({ path: `/v1/jobs/${job.id}`, name, onChange: tools.onDelete, onError: tools.onError, signal, isSmall: true }),
            ]
          : []),
      ];
    }),
  );
}

/** Return {node, box(id, name)}: the button that compares the chosen jobs, and their checkboxes. */
function chosenPart() {
  const ids = new Set();
  const button = h("button", { type: "button", class: "button is-small", disabled: true, on: { click: () => go(`/compare?${[...ids].map((id) => `job=${id}`).join("&")}`) } }, "Compare");
  const draw = () => {
    button.disabled = ids.size < 2 || ids.size > MOST_COMPARED;
    button.textContent = ids.size === 0 ? "Compare" : `Compare ${ids.size} of at most ${MOST_COMPARED}`;
  };
  return {
    node: button,
    box: (id, name) => {
      const box = h("input", { type: "checkbox", id: `compare-${id}`, "aria-label": `Compare ${name}` });
      box.checked = ids.has(id);
      box.addEventListener("change", () => {
        ids[box.checked ? "add" : "delete"](id);
        draw();
      });
      return box;
    },
  };
}

/** Return the empty state of the list of jobs. */
export function noJobs(signal) {
  return emptyState(
    "No jobs yet",
    "A job prunes a model, retrains it, verifies the result and measures it. The defaults work well.",
    h("a", { class: "button is-primary", href: "#/jobs/new" }, "Start a job"),
    exampleButton(signal),
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
