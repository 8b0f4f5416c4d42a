// The network's diagram: a bar for each layer, lines for what reads what, details of one node.

import { h, fill, svg } from "../dom.js";
import { legend } from "../charts/legend.js";
import { count, plural } from "../format.js";
import { disclosure } from "../parts/table.js";
import { detailsOf, isLayer, tableOf, widthText } from "./details.js";
import { layerControls } from "./controls.js";
import { lanesOf } from "./lanes.js";
import { nodesOf } from "./nodes.js";

const KEYS = { ArrowDown: (place) => place + 1, ArrowUp: (place) => place - 1, Home: () => 0, End: () => Infinity };
let numDiagrams = 0;

/**
 * Return {parts, update(families)}: the diagram of a network and its text alternative.
 *
 * `report` is the model's report; `families` are the layers of a plan, or null for the network as
 * it is. Arrow keys move through the nodes, and the pointer shows details too. `edit` lets the user
 * change layers: `edit.asked(node)` returns what the config asks of one, `edit.ask(node, asked)`
 * changes it (`edits.js`). After a change of plan or config, `update` redraws what has changed.
 */
export function architecture(report, families, edit = null) {
  numDiagrams += 1;
  let nodes = nodesOf(report, families);
  const { links, numLanes } = lanesOf(nodes);
  const lines = linesOf(links, numLanes, nodes.length);
  const [title, facts, rows] = [h("h3", { class: "arch-title" }), h("div", { class: "arch-facts" }), h("div")];
  const controls = edit && layerControls(edit);
  const options = nodes.map((node, place) => optionOf(node, place, `arch-${numDiagrams}-${place}`));
  const signs = h("div");
  let chosen = 0;
  let shown = 0;
  const show = (place) => {
    shown = place;
    lines.mark(place);
    title.textContent = nodes[place].name;
    fill(facts, detailsOf(nodes, place));
    controls?.show(nodes[place]);
  };
  // The pointer must not exchange a layer whose width is being typed.
  const point = (place) => !controls?.node.contains(document.activeElement) && show(place);
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
    option.addEventListener("pointerenter", () => point(place));
  });
  list.addEventListener("pointerleave", () => point(chosen));
  const update = (planned) => {
    nodes = nodesOf(report, planned);
    const widest = Math.max(...nodes.map((node) => node.before ?? 0), 1);
    options.forEach((option, place) => fillOption(option, nodes[place], widest, edit?.asked(nodes[place]) ?? null));
    fill(signs, signsOf(planned !== null, edit !== null));
    if (rows.hasChildNodes()) {
      fill(rows, tableOf(nodes));
    }
    show(shown);
  };
  update(families);
  const first = nodes.findIndex((node) => isLayer(node) && (families === null ? !edit || node.group : node.after < node.before));
  choose(first, false);
  return {
    parts: [
      signs,
      h(
        "div",
        { class: "arch panel-part" },
        h("div", { class: "arch-scroll", vars: { "--lanes": numLanes, "--nodes": nodes.length } }, lines.node, list),
        h("div", { class: "arch-details" }, title, controls?.node, facts),
      ),
      disclosure("Show the architecture as a table", () => fill(rows, tableOf(nodes))),
    ],
    update,
  };
}

function signsOf(isPlanned, isEdited) {
  const removed = isPlanned ? [["is-block is-second", "removed"]] : [];
  const own = isEdited ? [["is-block is-asked", "set by you"]] : [];
  return legend([["is-block", isPlanned ? "kept channels" : "channels"], ...removed, ...own, ["is-block is-frozen", "cannot be pruned"], ["is-grey", "a connection that skips layers"]]);
}

function optionOf(node, place, id) {
  const classes = ["arch-node", !isLayer(node) && "is-joint", node.reads.includes(place - 1) && "reads-above", node.readBy.includes(place + 1) && "is-read-below"];
  return h("li", { class: classes.filter(Boolean).join(" "), role: "option", id, tabindex: "-1", "aria-selected": "false" });
}

function fillOption(option, node, widest, asked) {
  const isAsked = asked !== null && asked.kind !== "auto";
  // The square root, because the widest layer often has a hundred times the channels of the first.
  const bar =
    isLayer(node) &&
    h("span", {
      class: ["arch-bar", node.isFrozen && "is-frozen", isAsked && "is-asked"].filter(Boolean).join(" "),
      vars: { "--before": `${100 * Math.sqrt(node.before / widest)}%`, "--after": `${(100 * node.after) / Math.max(1, node.before)}%` },
    });
  option.setAttribute("aria-label", inWords(node, isAsked));
  fill(
    option,
    h("span", { class: "arch-name" }, h("bdi", {}, node.name)),
    h("span", { class: node.pin ? "arch-track is-pinned" : "arch-track" }, bar, node.pin && h("span", { class: "arch-pin" }, node.pin)),
    h("span", { class: "arch-width" }, isLayer(node) && widthText(node.before, node.after)),
  );
}

function inWords(node, isAsked) {
  if (!isLayer(node)) {
    return node.reads.length > 1 ? `${node.name}, joins ${node.reads.length}` : node.name;
  }
  const width = node.before === node.after ? plural(node.before, "channel") : `${count(node.before)} channels before, ${count(node.after)} after`;
  return [node.name, node.op, width, isAsked && "set by you", node.why].filter(Boolean).join(", ");
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
