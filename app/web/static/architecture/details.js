// What is known of one node of the diagram, and the diagram as a table.

import { h } from "../dom.js";
import { compact, count, decimal } from "../format.js";
import { facts, table } from "../parts/table.js";

const SHOWN_NAMES = 4;

/** Return whether a node is a layer with channels, and not an operator that joins several. */
export function isLayer(node) {
  return node.before !== null && node.before !== undefined;
}

/** Return a width before and after, or once if it stays. */
export function widthText(before, after) {
  return before === after ? count(before) : `${count(before)} → ${count(after)}`;
}

/** Return what is known of the node at a place. */
export function detailsOf(nodes, place) {
  const node = nodes[place];
  const curve = node.family?.curve;
  return [
    node.why && h("p", { class: "small" }, node.why),
    facts([
      ["Operator", h("code", {}, node.op)],
      ["Output channels", isLayer(node) ? widthText(node.before, node.after) : null],
      ["Input channels", node.inputs && widthText(...node.inputs)],
      ["Same channels as", namesAt(nodes, tiedTo(nodes, place))],
      ["Weights", node.weights?.join(" × ")],
      ["MACs per sample before", node.macs === undefined ? null : compact(node.macs)],
      ["Saliency", curve?.length > 0 ? `${decimal(curve[0][1])} to ${decimal(curve.at(-1)[1])}` : null],
      ["Kept from", node.family && node.family.threshold !== null ? decimal(node.family.threshold) : null],
      ["Reads", namesAt(nodes, node.reads)],
      ["Read by", namesAt(nodes, node.readBy)],
    ]),
    node.source && h("p", { class: "small quiet" }, h("code", {}, node.source)),
  ];
}

/** Return the places of the other layers that keep the same channels. */
function tiedTo(nodes, place) {
  const { group } = nodes[place];
  return group ? nodes.flatMap((other, at) => (at !== place && other.group === group ? [at] : [])) : [];
}

function namesAt(nodes, places) {
  if (places.length === 0) {
    return null;
  }
  const more = places.length - SHOWN_NAMES;
  const names = places.slice(0, SHOWN_NAMES).map((place) => nodes[place].name);
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Return the diagram as a table. */
export function tableOf(nodes) {
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
