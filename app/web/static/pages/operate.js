// Workers, queues and tenants of the whole service, for operators.

import { announce } from "../announce.js";
import { post, read, readAll } from "../api.js";
import { fill, h, refill } from "../dom.js";
import { bytes, count, duration, plural } from "../format.js";
import { deviceText } from "../parts/device.js";
import { panel } from "../parts/panel.js";
import { loading, notice, problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";
import { watch } from "../polling.js";

const MOST_TENANTS = 1000;
const DONE = {
  cordon: "The worker takes no more jobs.",
  drain: "The worker hands back its jobs.",
  uncordon: "The worker takes jobs again.",
  pause: "The queue is paused.",
  resume: "The queue gives out jobs again.",
};

export async function operatePage(view) {
  const body = view.begin("Operate", {
    lead: "The whole service, for keys with the scope operator.",
    crumbs: h("a", { href: "#/queues" }, "Queue"),
  });
  const trouble = h("div");
  const content = h("div", { class: "stack" }, loading("Loading workers …"));
  fill(body, trouble, content);
  const draw = async () => {
    const { signal } = view;
    const [workers, queues, tenants] = await Promise.all([
      read("/v1/workers", { signal }),
      read("/v1/queues", { signal }),
      readAll("/v1/tenants", MOST_TENANTS, { signal }),
    ]);
    refill(content, workersPanel(workers.data, lever), queuesPanel(queues.data, lever), tenantsPanel(tenants));
  };
  const lever = (path, name, text, label) => {
    const pull = async () => {
      node.disabled = true;
      fill(trouble);
      try {
        await post(`${path}/${name}`, undefined, { signal: view.signal });
        announce(DONE[name]);
        await draw();
      } catch (error) {
        if (error.name !== "AbortError") {
          node.disabled = false;
          fill(trouble, problemPanel(error));
        }
      }
    };
    const id = `${path}-${name}`.replaceAll("/", "-");
    const node = h("button", { type: "button", class: "button", id, "aria-label": label, on: { click: pull } }, text);
    return node;
  };
  await watch(3, view.signal, draw);
}

function workersPanel(workers, lever) {
  if (workers.length === 0) {
    return panel("Workers", {}, notice("warn", "No worker is running", h("p", {}, "Jobs wait until one is started.")));
  }
  const rows = workers.map((worker) => {
    const path = `/v1/workers/${worker.id}`;
    const isOut = worker.status === "cordoned" || worker.status === "draining";
    return [
      worker.name,
      worker.queues.join(", "),
      deviceText(worker),
      worker.trouble ? `${worker.status}: ${worker.trouble}` : worker.status,
      `${worker.num_running} of ${plural(worker.num_slots, "job")}`,
      timeAgo(worker.seen_at),
      h(
        "div",
        { class: "actions" },
        isOut
          ? lever(path, "uncordon", "Uncordon", `Uncordon ${worker.name}`)
          : lever(path, "cordon", "Cordon", `Cordon ${worker.name}`),
        worker.status !== "draining" && lever(path, "drain", "Drain", `Drain ${worker.name}`),
      ),
    ];
  });
  const heads = ["Worker", "Queues", "Device", "Status", "Running", "Last seen", "Levers"];
  return panel("Workers", {}, table("Workers of the service", heads, rows));
}

function queuesPanel(queues, lever) {
  const rows = queues.map((queue) => {
    const path = `/v1/queues/${queue.name}`;
    return [
      queue.name,
      queue.is_paused ? "paused" : "open",
      count(queue.num_waiting),
      count(queue.num_running),
      queue.is_paused
        ? lever(path, "resume", "Resume", `Resume the queue ${queue.name}`)
        : lever(path, "pause", "Pause", `Pause the queue ${queue.name}`),
    ];
  });
  const heads = ["Queue", "State", ["Waiting", "end"], ["Running", "end"], "Lever"];
  return panel("Queues", {}, table("Queues of the service", heads, rows));
}

function tenantsPanel(tenants) {
  const rows = tenants.map((tenant) => [
    tenant.id,
    count(tenant.num_keys),
    count(tenant.num_waiting),
    count(tenant.num_running),
    bytes(tenant.stored_bytes),
    duration(tenant.compute_seconds),
  ]);
  const heads = ["Tenant", ...["Keys", "Waiting", "Running", "Stored", "Computed today"].map((text) => [text, "end"])];
  return panel("Tenants", {}, table("Tenants of the service", heads, rows));
}
