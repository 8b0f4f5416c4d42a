// Overview: counts, newest jobs and models, or the first steps if there are none.

import { read } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { count, plural } from "../format.js";
import { panel } from "../parts/panel.js";
import { loading } from "../parts/problem.js";
import { noticeChange, watch } from "../polling.js";
import { jobTable, noJobs } from "./jobs.js";
import { exampleButton } from "./example.js";
import { modelTable } from "./models.js";

const SHOWN = 6;
const EXPORT = `import torch

batch = {0: torch.export.Dim("batch", min=1)}
ep = torch.export.export(model.eval(), (example,), dynamic_shapes=(batch,))
torch.export.save(ep, "model.pt2")`;

export async function overviewPage(view) {
  const body = view.begin("Overview", { lead: "Upload a model, prune it, and run the result." });
  fill(body, loading("Loading …"));
  const isNew = noticeChange();
  await watch(4, view.signal, async () => {
    const [models, jobs, queues] = await Promise.all(
      [`/v1/models?limit=${SHOWN}`, `/v1/jobs?limit=${SHOWN}`, "/v1/queues"].map((path) =>
        read(path, { signal: view.signal }),
      ),
    );
    if (isNew([models, jobs, queues.data.map(({ workers, ...rest }) => [rest, workers.length])])) {
      const isEmpty = models.data.length === 0 && jobs.data.length === 0;
      fill(view.actions, isEmpty ? [] : actions());
      refill(body, isEmpty ? firstSteps(view.signal) : [numbers(queues.data), jobsPanel(jobs, view.signal), modelsPanel(models)]);
    }
  });
}

function actions() {
  return [
    h("a", { class: "button", href: "#/models" }, "Upload a model"),
    h("a", { class: "button is-primary", href: "#/jobs/new" }, "Start a job"),
  ];
}

function numbers(queues) {
  const sum = (read) => queues.reduce((all, queue) => all + read(queue), 0);
  const pruning = queues.filter((queue) => queue.name !== "intake");
  const workers = pruning.flatMap((queue) => queue.workers);
  const cards = [
    ["Running", count(sum((queue) => queue.num_running)), null],
    ["Waiting", count(sum((queue) => queue.num_waiting)), null],
    ["Workers", count(workers.length), workers.length === 0 ? "jobs cannot run" : null],
  ];
  return h(
    "dl",
    { class: "cards" },
    cards.map(([name, value, more]) =>
      h(
        "div",
        { class: "card" },
        h("dt", { class: "card-name" }, name),
        h("dd", { class: "card-value" }, value, more && h("span", { class: "card-more" }, more)),
      ),
    ),
  );
}

function jobsPanel(page, signal) {
  const all = h("a", { class: "button is-small", href: "#/jobs" }, "All jobs");
  return panel("Newest jobs", { actions: [all] }, page.data.length === 0 ? noJobs(signal) : jobTable(page.data, signal));
}

function modelsPanel(page) {
  const all = h("a", { class: "button is-small", href: "#/models" }, "All models");
  return panel("Newest models", { actions: [all], note: page.has_more ? null : plural(page.data.length, "model") }, modelTable(page.data));
}

function firstSteps(signal) {
  const steps = [
    [
      "Export your network",
      "With three lines of Python in your own project. The file holds a graph and tensors, but no code.",
      h("pre", { class: "code", tabindex: "0" }, EXPORT),
    ],
    [
      "Upload it",
      "Add samples for retraining if you have any. Labels are optional.",
      h("p", { class: "actions" }, h("a", { class: "button is-primary", href: "#/models" }, "Upload a model"), h("a", { class: "button", href: "#/datasets" }, "Upload a data set")),
    ],
    [
      "Start a job",
      "It scores every filter, removes the least important ones, retrains the network, and verifies and measures the result.",
      h("p", { class: "actions" }, h("a", { class: "button", href: "#/jobs/new" }, "Start a job")),
    ],
  ];
  return panel(
    "Three steps to a smaller network",
    { actions: [exampleButton(signal)] },
    h("ol", { class: "steps" }, steps.map(([title, text, more]) => h("li", {}, h("h3", {}, title), h("p", { class: "quiet" }, text), more))),
  );
}
