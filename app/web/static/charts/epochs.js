// Charts of losses and of the metric by epoch.

import { WHOLE, axis, plot, tickText } from "./plot.js";

const HEIGHT = 220;

/** Draw the losses. `data` is [epochs, training, validation]. Returns a function that updates it. */
export function drawLosses(place, data, signal) {
  return plot(place, HEIGHT, data, (colours) => describe(colours, [
    line(colours.second, data, { dash: [6, 3] }),
    line(colours.first, data),
  ], "loss"), signal);
}

/** Draw the metric. `data` is [epochs, metric, dense network's metric]. Returns a function that updates it. */
export function drawMetric(place, data, isShare, signal) {
  return plot(place, HEIGHT, data, (colours) => describe(colours, [
    line(colours.first, data),
    { stroke: colours.text, width: 1.5, dash: [3, 4], points: { show: false } },
  ], isShare ? "%" : "", isShare ? 100 : 1), signal);
}

function line(colour, data, more = {}) {
  const isShort = data[0].length <= 40;
  return { stroke: colour, width: 2, points: { show: isShort, size: 6, fill: colour, stroke: colour }, ...more };
}

function describe(colours, series, label, factor = 1) {
  return {
    cursor: { show: false },
    legend: { show: false },
    padding: [10, 12, 0, 0],
    scales: { x: { time: false, range: (_chart, low, high) => around(low, high) } },
    axes: [
      axis(colours, { label: "epoch", size: 24, incrs: WHOLE, space: 36 }),
      axis(colours, { label, size: 48, values: (_chart, ticks) => ticks.map((tick) => tickText(factor * tick)) }),
    ],
    series: [{}, ...series],
  };
}

/** Return the x range: centred for a single epoch, otherwise the full width. */
function around(low, high) {
  return low === high ? [low - 1, high + 1] : [low, high];
}
