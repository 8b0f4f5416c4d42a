// A job's events, newest first, without progress events.

import { h, fill } from "../dom.js";
import { decimal, moment } from "../format.js";
import { panel } from "../parts/panel.js";
import { stateWord } from "../parts/status.js";

const SHOWN = 12;

/** Return {node, update(events)}. */
export function logPart() {
  const list = h("ol", { class: "log" });
  const more = h("button", { type: "button", class: "button is-small", on: { click: () => setAll(true) } });
  let isAll = false;
  let latest = [];
  const draw = () => {
    const newest = [...latest].reverse();
    fill(list, (isAll ? newest : newest.slice(0, SHOWN)).map(item));
    more.hidden = isAll || newest.length <= SHOWN;
    more.textContent = `Show all ${newest.length} events`;
  };
  const setAll = (value) => {
    isAll = value;
    draw();
  };
  return {
    node: panel("Events", {}, list, h("p", { class: "panel-part" }, more)),
    update: (events) => {
      latest = events;
      draw();
    },
  };
}

function item(event) {
  return h(
    "li",
    { class: event.type === "warning" || event.type === "job.failed" ? "is-warn" : null },
    h("time", { datetime: event.created_at, class: "log-time number" }, moment(event.created_at).split(", ").at(-1)),
    h("span", { class: "log-text" }, inWords(event)),
    h("span", { class: "log-number number" }, `#${event.number}`),
  );
}

function inWords({ type, data }) {
  if (type === "stage.started") {
    return `Stage ${data.stage} started`;
  }
  if (type === "warning") {
    return data.message;
  }
  if (type === "metric" && data.kind === "epoch") {
    const metric = data.validation_metric === null ? "" : `, validation ${decimal(data.validation_metric)}`;
    return `Epoch ${data.epoch} of ${data.num_epochs}: loss ${decimal(data.train_loss)}${metric}`;
  }
  if (type.startsWith("job.")) {
    const more = [data.attempt > 1 && `attempt ${data.attempt}`, data.reason, data.message].filter(Boolean);
    return [stateWord(type.slice(4)), ...more].join(": ");
  }
  return data.message ?? type;
}
