// The network's diagram as data: a node for each layer and each operator that joins several.

const MATRICES = new Set(["mm", "matmul", "bmm", "addmm"]);

/**
 * Return the nodes of a network in order.
 *
 * `report` is the model's report; `families` are a plan's layers, or null for the network as it is.
 * A node has `name`, `op`, `reads` (positions), `readBy`, and if it is a layer `before` and `after`
 * (output channels), `inputs` ([before, after]), `weights`, `macs`, `source`, `isFrozen`, `why`, and
 * if it can be pruned `group`: the name shared by all layers that keep the same channels.
 */
export function nodesOf(report, families) {
  const widths = new Map((families ?? []).map((family) => [family.name, family]));
  const homes = new Map();
  for (const group of report.groups ?? []) {
    for (const member of group.members) {
      homes.set(member, group.name);
    }
  }
  const frozen = new Map((report.frozen ?? []).map((each) => [`${each.tensor}[${each.dim}]`, each]));
  const known = { widths, homes, frozen, isPlanned: families !== null };
  const nodes = diagramOf(report).map((entry) =>
    entry.layers ? layerNode(report.layers[entry.layers[0]], entry, known) : { name: entry.op, op: entry.op, reads: entry.reads, readBy: [] },
  );
  nodes.forEach((node, place) => node.reads.forEach((origin) => nodes[origin].readBy.push(place)));
  return nodes;
}

/** Return the diagram in a report; of models that were checked before there was one, a chain. */
function diagramOf(report) {
  if (report.diagram?.length > 0) {
    return report.diagram;
  }
  return report.layers.map((_, place) => ({ layers: [place], reads: place > 0 ? [place - 1] : [] }));
}

function layerNode(layer, { reads }, known) {
  const { weight, op, shape } = layer;
  const outputs = outputDimension(op, shape);
  const found = shape === null ? {} : widthOf(weight, outputs, shape[outputs], known);
  const inputs = shape === null || shape.length < 2 ? null : widthOf(weight, outputs === 0 ? 1 : 0, shape[outputs === 0 ? 1 : 0], known);
  return {
    name: weight?.replace(/\.weight$/, "") ?? op,
    op,
    reads,
    readBy: [],
    weights: shape,
    macs: layer.macs,
    source: layer.source,
    inputs: inputs && [inputs.before, inputs.after],
    before: null,
    after: null,
    ...found,
  };
}

/** Return the dimension of a weight that holds the output channels. */
function outputDimension(op, shape) {
  if (op.includes("transpose")) {
    return 1;
  }
  return shape !== null && MATRICES.has(op) ? shape.length - 1 : 0;
}

function widthOf(weight, dimension, before, { widths, homes, frozen, isPlanned }) {
  const place = `${weight}[${dimension}]`;
  const pin = frozen.get(place);
  if (pin) {
    const cause = pin.source ? `${pin.op}, ${pin.source}` : pin.op;
    return { before, after: before, isFrozen: true, pin: pin.reason, why: `cannot be pruned: ${pin.reason} (${cause})` };
  }
  const group = homes.get(place) ?? null;
  const family = widths.get(group);
  if (!family) {
    return { before, after: before, isFrozen: false, group, why: isPlanned || group === null ? null : "can be pruned" };
  }
  const { num_groups: all, num_kept: kept } = family;
  return { before, after: Math.round((before * kept) / all), isFrozen: false, group, why: family.reason, family };
}
