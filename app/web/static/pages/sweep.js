// Page of one sweep: the Pareto charts and the table of all points.

import { post, read } from "../api.js";
import { drawPareto, paretoData } from "../charts/pareto.js";
import { legend } from "../charts/legend.js";
import { h, fill, refill } from "../dom.js";
import { compact, moment, percent, plural } from "../format.js";
import { intervalText, isShare, metricLabel, metricText } from "../job/summary.js";
import { modelLink } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { notice, problemPanel } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { facts, table } from "../parts/table.js";
import { noticeChange, watch } from "../polling.js";

const PICTURES = [
  ["macs_share", "is_pareto_macs", "MACs, as a share of the dense network"],
  ["latency_share", "is_pareto_latency", "latency at batch 1, as a share of the dense network"],
];

const CHOSEN =
  "Every point was repaired and measured without training first. Points that another one beats there are not trained: their quality is that of the repaired network.";

export async function sweepPage(view) {
  const path = `/v1/sweeps/${encodeURIComponent(view.params[0])}`;
  const body = view.begin("Sweep", { crumbs: [h("a", { href: "#/sweeps" }, "Sweeps")] });
  const [trouble, top, pictures, rows] = [h("div"), h("div"), h("div", { class: "columns" }), h("div")];
  body.append(trouble, top, pictures, rows);
  const isNew = { sweep: noticeChange(), table: noticeChange(), actions: noticeChange() };
  let drawing = new AbortController();
  view.signal.addEventListener("abort", () => drawing.abort());
  await watch(3, view.signal, async () => {
    const sweep = await read(path, { signal: view.signal });
    if (isNew.actions(sweep.status)) {
      refill(view.actions, sweep.status === "running" && cancelButton(sweep, trouble, view.signal));
    }
    if (isNew.sweep(sweep.counts)) {
      fill(top, about(sweep, view.signal));
    }
    if (isNew.table(sweep.table)) {
      drawing.abort(); // stops the previous charts
      drawing = new AbortController();
      fill(pictures, picturesOf(sweep.table, drawing.signal));
      refill(rows, tablePanel(sweep));
    }
    return sweep.status === "running";
  });
}

function cancelButton(sweep, trouble, signal) {
  const button = h("button", { type: "button", class: "button is-danger" }, "Cancel all jobs");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await post(sweep.urls.cancel, undefined, { signal });
    } catch (error) {
      button.disabled = false;
      fill(trouble, problemPanel(error));
    }
  });
  return button;
}

function about(sweep, signal) {
  const states = Object.entries(sweep.counts).map(([state, number]) =>
    h("span", { class: "count" }, badge(state), ` ${number}`),
  );
  return panel(
    "About",
    { actions: [badge(sweep.status)] },
    facts([
      ["Model", modelLink(sweep.model, signal)],
      ["Jobs", states],
      ["Created", moment(sweep.created_at)],
      ["Id", h("code", {}, sweep.id)],
    ]),
  );
}

function picturesOf(rows, signal) {
  const done = rows.filter((row) => row.value !== null);
  if (done.length === 0) {
    return notice("idle", "No chart yet", h("p", {}, "It appears when the first job has measured its result."));
  }
  return PICTURES.map(([cost, mark, label]) => picture(done, cost, mark, label, signal));
}

function picture(rows, cost, mark, label, signal) {
  const found = rows.filter((row) => row[cost] !== null);
  if (found.length === 0) {
    return null;
  }
  const { metric, split, dense_value: dense } = found[0];
  const points = found.map((row) => ({ x: row[cost], y: row.value, isFront: row[mark] }));
  const place = h("div", { class: "chart", role: "img", "aria-label": inWords(found, cost, mark, label) });
  drawPareto(
    place,
    paretoData(points, dense),
    { xLabel: label, yLabel: `${metricLabel(metric)} (${split})`, isShare: isShare(metric) },
    signal,
  );
  return panel(
    cost === "macs_share" ? "Quality against MACs" : "Quality against latency",
    {},
    legend([["", "Pareto-optimal"], ["is-dot", "dominated"], dense !== null && ["is-dot is-second", "dense network"]].filter(Boolean)),
    place,
  );
}

function inWords(rows, cost, mark, label) {
  const front = rows.filter((row) => row[mark]).sort((one, other) => one[cost] - other[cost]);
  const points = front.map((row) => `${metricText(row.metric, row.value)} at ${percent(row[cost], 1)}`);
  return `${metricLabel(rows[0].metric)} against ${label}. Pareto-optimal: ${points.join("; ")}.`;
}

function tablePanel(sweep) {
  const keys = Object.keys(sweep.grid);
  const columns = [
    ...keys.map((key) => key.slice(1).replaceAll("/", ".")),
    "Status",
    ["Repaired", "end"],
    ["Quality", "end"],
    ["MACs", "end"],
    ["Parameters", "end"],
    ["Latency", "end"],
    "Pareto-optimal",
  ];
  const rows = sweep.table.map((row) => [
    ...keys.map((key, column) => {
      const text = textOf(row.point[key]);
      return column === 0 ? h("a", { href: `#/jobs/${row.job}` }, text) : text;
    }),
    [badge(row.status), row.error && h("span", { class: "sub" }, row.error)],
    row.repaired_value === null ? "–" : metricText(row.metric, row.repaired_value),
    row.value === null ? "–" : [metricText(row.metric, row.value), sub(intervalText(row.metric, row.interval)), row.is_trained === false && sub("not trained")],
    [percent(row.macs_share, 1), row.macs !== null && h("span", { class: "sub" }, compact(row.macs))],
    percent(row.params_share, 1),
    [percent(row.latency_share, 1), sub(latencyDoubt(row))],
    [row.is_pareto_macs && "in MACs", row.is_pareto_latency && "in latency"].filter(Boolean).join(", ") || "–",
  ]);
  const note = `${plural(rows.length, "point")}, relative to the dense network, with 95\u00a0% intervals; points whose intervals overlap may differ by chance`;
  return panel("Every point", { note }, sweep.train === "front" && h("p", { class: "hint" }, CHOSEN), table("Every point of the sweep", columns, rows));
}

function sub(text) {
  return text && h("span", { class: "sub" }, text);
}

function latencyDoubt({ latency_interval: interval, was_busy: wasBusy }) {
  if (!interval) {
    return null;
  }
  const [low, high] = interval;
  const text = low <= 1 && high >= 1 ? "no measurable difference" : `${(100 * low).toFixed(1)} to ${percent(high, 1)}`;
  return wasBusy ? `${text}, under load` : text;
}

function textOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
