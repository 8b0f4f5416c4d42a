// Queues with their workers and jobs.

import { read } from "../api.js";
import { h, refill } from "../dom.js";
import { count, duration, plural, shortId } from "../format.js";
import { deviceText } from "../parts/device.js";
import { panel } from "../parts/panel.js";
import { loading, notice } from "../parts/problem.js";
import { badge } from "../parts/status.js";
import { facts, table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { watch } from "../polling.js";

const TITLES = {
  cpu: "CPU queue",
  gpu: "GPU queue",
  intake: "Validation and preview queue",
};

export async function queuesPage(view) {
  const body = view.begin("Queue", {
    lead: "Tenants take turns: the next job is the oldest of the tenant with the fewest running jobs. Counts include all tenants; the lists show only your jobs.",
    actions: [h("a", { class: "button is-quiet", href: "#/operate" }, "Operate")],
  });
  refill(body, loading("Loading queues …"));
  await watch(3, view.signal, async () => {
    const queues = await read("/v1/queues", { signal: view.signal });
    refill(body, queues.data.map(queuePanel));
  });
}

function queuePanel(queue) {
  return panel(
    TITLES[queue.name] ?? queue.name,
    { note: `queue ${queue.name}` },
    queue.is_paused && notice("warn", "Paused by an operator", h("p", {}, "Jobs wait until the queue is resumed.")),
    facts([
      ["Waiting", count(queue.num_waiting)],
      ["Running", count(queue.num_running)],
      ["Typical duration", queue.seconds_a_job === null ? "unknown" : `about ${duration(queue.seconds_a_job)}`],
    ]),
    h("div", { class: "panel-part" }, workersPart(queue)),
    queue.jobs.length > 0 && h("div", { class: "panel-part" }, jobsPart(queue)),
  );
}

function workersPart(queue) {
  if (queue.workers.length === 0) {
    return notice("warn", "No worker is running", h("p", {}, "Jobs in this queue wait until an operator starts one: see docs/operations.md."));
  }
  const rows = queue.workers.map((worker) => [
    h("code", {}, worker.id),
    worker.is_cordoned ? `${deviceText(worker)}, takes no more jobs` : deviceText(worker),
    `${worker.num_running} of ${plural(worker.num_slots, "job")}`,
    timeAgo(worker.started_at),
    timeAgo(worker.seen_at),
  ]);
  return table(`Workers of the queue ${queue.name}`, ["Worker", "Device", "Running", "Started", "Last seen"], rows);
}

function jobsPart(queue) {
  const rows = queue.jobs.map((job) => [
    h("a", { href: `#/jobs/${job.id}` }, shortId(job.id)),
    badge(job.status),
    job.position === null ? "–" : count(job.position),
    job.worker === null ? "–" : h("code", {}, job.worker),
  ]);
  return table(`Your jobs in the queue ${queue.name}`, ["Your job", "Status", ["Jobs ahead", "end"], "Worker"], rows);
}
