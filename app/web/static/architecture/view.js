// The network's diagram: a bar for each layer, lines for what reads what, details of one node.

import { h, fill, svg } from "../dom.js";
import { legend } from "../charts/legend.js";
import { compact, count, decimal, plural } from "../format.js";
import { disclosure, facts, table } from "../parts/table.js";
import { lanesOf } from "./lanes.js";
import { nodesOf } from "./nodes.js";

const KEYS = { ArrowDown: (place) => place + 1, ArrowUp: (place) => place - 1, Home: () => 0, End: () => Infinity };
const SHOWN_READERS = 4;
let numDiagrams = 0;

/**
 * Return the diagram of a network and its text alternative.
 *
 * `report` is the model's report; `families` are the layers of a plan, or null for the network as
 * it is. Arrow keys move through the nodes, and the pointer shows details too.
 */
export function architecturePart(report, families) {
  numDiagrams += 1;
  const nodes = nodesOf(report, families);
  const { links, numLanes } = lanesOf(nodes);
  const lines = linesOf(links, numLanes, nodes.length);
  const details = h("div", { class: "arch-details" });
  const widest = Math.max(...nodes.map((node) => node.before ?? 0), 1);
  const options = nodes.map((node, place) => optionOf(node, { place, id: `arch-${numDiagrams}-${place}`, widest }));
  let chosen = 0;
  const show = (place) => {
    lines.mark(place);
    fill(details, detailsOf(nodes, place));
  };
  const choose = (place, isFocused = true) => {
    options[chosen].tabIndex = -1;
    options[chosen].setAttribute("aria-selected", "false");
    chosen = Math.max(0, Math.min(place, nodes.length - 1));
    options[chosen].tabIndex = 0;
    options[chosen].setAttribute("aria-selected", "true");
    if (isFocused) {
      options[chosen].focus();
    }
    show(chosen);
  };
  const list = h("ul", { class: "arch-nodes", role: "listbox", "aria-label": "Layers of the network, from input to output" }, options);
  list.addEventListener("keydown", (event) => {
    if (event.key in KEYS) {
      event.preventDefault();
      choose(KEYS[event.key](chosen));
    }
  });
  options.forEach((option, place) => {
    option.addEventListener("click", () => choose(place));
    option.addEventListener("focus", () => show(place));
    option.addEventListener("pointerenter", () => show(place));
  });
  list.addEventListener("pointerleave", () => show(chosen));
  const first = nodes.findIndex((node) => isLayer(node) && (families === null || node.after < node.before));
  choose(first, false);
  return [
    signs(families !== null),
    h("div", { class: "arch panel-part" }, h("div", { class: "arch-scroll", vars: { "--lanes": numLanes, "--nodes": nodes.length } }, lines.node, list), details),
    disclosure("Show the architecture as a table", () => tableOf(nodes)),
  ];
}

function signs(isPlanned) {
  const removed = isPlanned ? [["is-block is-second", "removed"]] : [];
  return legend([["is-block", isPlanned ? "kept channels" : "channels"], ...removed, ["is-block is-frozen", "cannot be pruned"], ["is-grey", "a connection that skips layers"]]);
}

function isLayer(node) {
  return node.before !== null && node.before !== undefined;
}

function optionOf(node, { place, id, widest }) {
  // The square root, because the widest layer often has a hundred times the channels of the first.
  const bar =
    isLayer(node) &&
    h("span", {
      class: node.isFrozen ? "arch-bar is-frozen" : "arch-bar",
      vars: { "--before": `${100 * Math.sqrt(node.before / widest)}%`, "--after": `${(100 * node.after) / Math.max(1, node.before)}%` },
    });
  const classes = ["arch-node", !isLayer(node) && "is-joint", node.reads.includes(place - 1) && "reads-above", node.readBy.includes(place + 1) && "is-read-below"];
  return h(
    "li",
    { class: classes.filter(Boolean).join(" "), role: "option", id, tabindex: "-1", "aria-selected": "false", "aria-label": inWords(node) },
    h("span", { class: "arch-name" }, h("bdi", {}, node.name)),
    h("span", { class: "arch-track" }, bar),
    h("span", { class: "arch-width" }, isLayer(node) && widthText(node.before, node.after)),
  );
}

function widthText(before, after) {
  return before === after ? count(before) : `${count(before)} → ${count(after)}`;
}

function inWords(node) {
  if (!isLayer(node)) {
    return node.reads.length > 1 ? `${node.name}, joins ${node.reads.length}` : node.name;
  }
  const width = node.before === node.after ? plural(node.before, "channel") : `${count(node.before)} channels before, ${count(node.after)} after`;
  return [node.name, node.op, width, node.why].filter(Boolean).join(", ");
}

function detailsOf(nodes, place) {
  const node = nodes[place];
  const curve = node.family?.curve;
  return [
    h("h3", { class: "arch-title" }, node.name),
    facts([
      ["Operator", h("code", {}, node.op)],
      ["Output channels", isLayer(node) ? widthText(node.before, node.after) : null],
      ["Input channels", node.inputs && widthText(...node.inputs)],
      ["Weights", node.weights?.join(" × ")],
      ["MACs per sample before", node.macs === undefined ? null : compact(node.macs)],
      ["Saliency", curve?.length > 0 ? `${decimal(curve[0][1])} to ${decimal(curve.at(-1)[1])}` : null],
      ["Kept from", node.family && node.family.threshold !== null ? decimal(node.family.threshold) : null],
      ["Reads", namesAt(nodes, node.reads)],
      ["Read by", namesAt(nodes, node.readBy)],
    ]),
    node.why && h("p", { class: "small" }, node.why),
    node.source && h("p", { class: "small quiet" }, h("code", {}, node.source)),
  ];
}

function namesAt(nodes, places) {
  if (places.length === 0) {
    return null;
  }
  const more = places.length - SHOWN_READERS;
  const names = places.slice(0, SHOWN_READERS).map((place) => nodes[place].name);
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Return {node, mark(place)}: the lines beside the nodes; `mark` shows those of one node. */
function linesOf(links, numLanes, numNodes) {
  const paths = links.map(({ from, to, lane }) => {
    const [x, right] = [numLanes - lane - 0.5, numLanes + 0.5];
    const path = svg("path", { d: `M${right} ${from + 0.5}H${x}V${to + 0.5}H${right}`, class: "arch-link" });
    return { from, to, path };
  });
  const node = svg(
    "svg",
    { class: "arch-lines", viewBox: `0 0 ${numLanes + 0.5} ${numNodes}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    ...paths.map(({ path }) => path),
  );
  const mark = (place) => {
    for (const { from, to, path } of paths) {
      path.classList.toggle("is-chosen", from === place || to === place);
    }
  };
  return { node, mark };
}

function tableOf(nodes) {
  const columns = ["Layer", "Operator", ["Before", "end"], ["After", "end"], "Reads", "Why"];
  return table(
    "Layers of the network with their channels",
    columns,
    nodes.map((node) => [
      h("code", {}, node.name),
      node.op,
      count(node.before),
      count(node.after),
      namesAt(nodes, node.reads) ?? "–",
      node.why ?? "–",
    ]),
  );
}
