// Places for the connections that skip nodes: side by side, so that none hides another.

const MOST_LANES = 12;

/** Return [{from, to, lane}] of the connections that are longer than one step, and the number of lanes. */
export function lanesOf(nodes) {
  const wanted = nodes.flatMap((node, to) => node.reads.filter((from) => to - from > 1).map((from) => ({ from, to })));
  wanted.sort((a, b) => a.to - a.from - (b.to - b.from)); // short ones are nearest to the nodes
  const taken = []; // per lane the stretches in use
  const links = wanted.map(({ from, to }) => {
    let lane = taken.findIndex((stretches) => stretches.every(([start, end]) => end <= from || start >= to));
    if (lane < 0) {
      lane = Math.min(taken.length, MOST_LANES - 1);
    }
    (taken[lane] ??= []).push([from, to]);
    return { from, to, lane };
  });
  return { links, numLanes: taken.length };
}
