// Saliency curve of one layer: its filters sorted by saliency, and the cut. With the steepness rule
// it also shows the line of that slope: the cut is the point of the curve farthest below such a line,
// so the line drawn here touches the curve at the cut.

import { WHOLE, axis, plot, tickText } from "./plot.js";
import { faint } from "./colours.js";

const HEIGHT = 132;
const DECILE = 0.9;

/** Draw a layer's curve in `place`. `steepness` is null for other rules. */
export function drawCurve(place, layer, steepness, signal) {
  const data = curveData(layer, steepness);
  plot(place, HEIGHT, data, (colours) => describe(layer, colours), signal);
}

/** Return uPlot's columns: positions, removed filters, kept filters and the steepness line. */
export function curveData(layer, steepness) {
  const removed = layer.num_groups - layer.num_kept;
  const xs = layer.curve.map(([position]) => position);
  const ys = layer.curve.map(([, saliency]) => saliency);
  const below = xs.map((x, k) => (x < removed ? ys[k] : null));
  const above = xs.map((x, k) => (x >= removed ? ys[k] : null));
  return [xs, below, above, steepnessLine(layer, steepness)];
}

/** Return the line's height at each point, or null where it is outside the plot. */
export function steepnessLine(layer, steepness) {
  const { curve, num_wanted: turn } = layer;
  const last = layer.num_groups - 1;
  if (steepness === null || turn === 0 || last < 1) {
    return curve.map(() => null);
  }
  const saliency = new Map(curve);
  const lowest = curve[0][1];
  const decile = saliency.get(Math.ceil(DECILE * last)) - lowest;
  const highest = curve.at(-1)[1];
  const scale = decile > 1e-12 * (highest - lowest) ? decile : highest - lowest;
  const at = saliency.get(turn) ?? saliency.get(turn - 1);
  const slope = (steepness * scale) / last;
  return curve.map(([x]) => {
    const y = at + slope * (x - turn);
    return y >= lowest - 0.12 * (highest - lowest) && y <= highest ? y : null;
  });
}

function describe(layer, colours) {
  const removed = layer.num_groups - layer.num_kept;
  const line = (colour) => ({
    stroke: colour,
    fill: faint(colour, 0.16),
    width: 2,
    points: { show: layer.num_groups <= 32, size: 4, fill: colour, stroke: colour },
  });
  return {
    cursor: { show: false },
    legend: { show: false },
    padding: [8, 6, 0, 0],
    scales: { x: { time: false }, y: { range: (_chart, low, high) => rangeOf(low, high) } },
    axes: [
      axis(colours, { size: 22, grid: { show: false }, space: 40, incrs: WHOLE }),
      axis(colours, { size: 40, space: 28, values: (_chart, ticks) => ticks.map(tickText) }),
    ],
    series: [
      {},
      line(colours.second),
      line(colours.first),
      { stroke: colours.strong, width: 1, dash: [4, 4], points: { show: false }, spanGaps: false },
    ],
    hooks: { draw: [(chart) => drawCut(chart, removed, layer.num_groups, colours)] },
  };
}

/** Return the y range. It starts at zero if the curve starts near it, so slopes are not exaggerated. */
function rangeOf(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const bottom = low >= 0 && low < 1.5 * span ? 0 : low - 0.12 * span;
  return [bottom, high + 0.08 * span];
}

function drawCut(chart, removed, number, colours) {
  if (removed === 0 || removed >= number) {
    return;
  }
  const { ctx, bbox } = chart;
  const x = Math.round(chart.valToPos(removed - 0.5, "x", true)) + 0.5;
  ctx.save();
  ctx.setLineDash([]);
  ctx.strokeStyle = colours.strong;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}
