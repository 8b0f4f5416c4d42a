// Scatter plot of quality against cost: one point per job, and a line through the Pareto front.

import { axis, plot } from "./plot.js";
import { percent } from "../format.js";

const HEIGHT = 300;

/** Return uPlot's columns for points {x, y, isFront} and the dense network's value. */
export function paretoData(points, dense) {
  const sorted = [...points].sort((one, other) => one.x - other.x || one.y - other.y);
  const rows = sorted.map(({ x, y, isFront }) => [x, isFront ? y : null, isFront ? null : y, null]);
  if (dense !== null) {
    rows.push([1, null, null, dense]);
    rows.sort((one, other) => one[0] - other[0]);
  }
  return [0, 1, 2, 3].map((column) => rows.map((row) => row[column]));
}

/** Draw the plot. */
export function drawPareto(place, data, { xLabel, yLabel, isShare }, signal) {
  const quality = (value) => (isShare ? percent(value, 1) : String(Number(value.toPrecision(3))));
  const describe = (colours) => ({
    cursor: { show: false },
    legend: { show: false },
    padding: [12, 16, 0, 0],
    scales: {
      x: { time: false, range: (_chart, low, high) => [Math.max(0, low - 0.05), Math.max(1, high) + 0.04] },
      y: { range: (_chart, low, high) => spread(low, high) },
    },
    axes: [
      axis(colours, { label: xLabel, size: 26, values: (_chart, ticks) => ticks.map((tick) => percent(tick, 0)) }),
      axis(colours, { label: yLabel, size: 58, values: (_chart, ticks) => ticks.map(quality) }),
    ],
    series: [
      {},
      { stroke: colours.first, width: 2, spanGaps: true, points: { show: true, size: 9, fill: colours.first } },
      dots(colours.text, colours.surface),
      dots(colours.second, colours.second),
    ],
  });
  return plot(place, HEIGHT, data, describe, signal);
}

function dots(stroke, inside) {
  return { stroke, paths: () => null, points: { show: true, size: 9, width: 2, fill: inside, stroke } };
}

function spread(low, high) {
  const margin = 0.12 * (high - low) || 0.01;
  return [low - margin, high + margin];
}
