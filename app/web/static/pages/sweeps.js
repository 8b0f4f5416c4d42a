// List of sweeps, newest first.

import { read } from "../api.js";
import { h, refill } from "../dom.js";
import { plural, shortId } from "../format.js";
import { modelLink } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { emptyState, loading } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { noticeChange, watch } from "../polling.js";

const AT_ONCE = 50;

export async function sweepsPage(view) {
  const body = view.begin("Sweeps", {
    lead: "One job per point of a grid over the config, with charts of the Pareto-optimal points.",
    actions: [h("a", { class: "button is-primary", href: "#/sweeps/new" }, "Start a sweep")],
  });
  const list = h("div", {}, loading("Loading sweeps …"));
  body.append(panel("Newest first", {}, list));
  const isNew = noticeChange();
  await watch(5, view.signal, async () => {
    const page = await read(`/v1/sweeps?limit=${AT_ONCE}`, { signal: view.signal });
    if (isNew(page)) {
      refill(list, page.data.length === 0 ? nothing() : sweepTable(page.data, view.signal));
    }
  });
}

function sweepTable(sweeps, signal) {
  return table(
    "Sweeps",
    ["Sweep", "Status", ["Jobs", "end"], "Parameters", ["Created", "not-narrow"]],
    sweeps.map((sweep) => [
      [h("a", { href: `#/sweeps/${sweep.id}` }, shortId(sweep.id)), h("span", { class: "sub" }, modelLink(sweep.model, signal))],
      badge(sweep.status),
      plural(Object.values(sweep.counts).reduce((sum, number) => sum + number, 0), "job"),
      Object.keys(sweep.grid).map((key) => h("div", {}, h("code", {}, key))),
      timeAgo(sweep.created_at),
    ]),
  );
}

function nothing() {
  return emptyState(
    "No sweeps yet",
    "Try several budgets or criteria at once and compare the results.",
    h("a", { class: "button is-primary", href: "#/sweeps/new" }, "Start a sweep"),
  );
}
