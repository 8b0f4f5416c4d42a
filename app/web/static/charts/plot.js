// Wrapper for uPlot: full width, theme colours, and drawn only when scrolled into view.

import { theme } from "../parts/theme.js";
import { chartColours } from "./colours.js";

/** Tick increments of an axis with whole numbers. */
export const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

const FONT = "11px Inter, system-ui, sans-serif";

/**
 * Draw a chart in `place` when it comes into view, and again when the theme or the width changes,
 * until `signal` aborts. Returns a function that updates the data.
 *
 * `describe(colours)` returns uPlot's options without a size. `height` is in pixels.
 */
export function plot(place, height, data, describe, signal) {
  let chart = null;
  let latest = data;
  const draw = () => {
    if (window.uPlot === undefined) { // the deferred script has not run yet
      addEventListener("DOMContentLoaded", draw, { once: true });
      return;
    }
    chart?.destroy();
    const options = describe(chartColours());
    chart = new uPlot({ width: place.clientWidth, height, ...options }, latest, place);
  };
  const seen = new IntersectionObserver(
    ([entry]) => {
      if (entry.isIntersecting) {
        seen.disconnect();
        draw();
        sizes.observe(place);
      }
    },
    { rootMargin: "200px" },
  );
  const sizes = new ResizeObserver(() => {
    if (chart !== null && place.clientWidth > 0 && place.clientWidth !== chart.width) {
      chart.setSize({ width: place.clientWidth, height });
    }
  });
  const redraw = () => chart !== null && draw();
  theme.addEventListener("change", redraw);
  place.style.setProperty("--chart-height", `${height}px`);
  seen.observe(place);
  signal.addEventListener("abort", () => {
    seen.disconnect();
    sizes.disconnect();
    theme.removeEventListener("change", redraw);
    chart?.destroy();
  });
  return (news) => {
    latest = news;
    chart?.setData(news);
  };
}

/** Return an axis in the theme's colours. */
export function axis(colours, options = {}) {
  return {
    stroke: colours.text,
    font: FONT,
    labelFont: FONT,
    labelSize: 16,
    labelGap: 2,
    gap: 4,
    ticks: { show: false },
    grid: { stroke: colours.grid, width: 1 },
    ...options,
  };
}

/** Return the label of a tick. */
export function tickText(value) {
  if (value === 0) {
    return "0";
  }
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(4)));
}
