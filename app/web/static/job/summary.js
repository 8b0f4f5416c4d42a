// Format the numbers of a job's result: metrics by split, changes and intervals.

import { capital, decimal, percent } from "../format.js";
import { METRICS } from "./metrics.js";

const SPLITS = ["test", "validation"];

/** Return the display name of a metric. */
export function metricLabel(name) {
  return capital(METRICS[name]?.words ?? name);
}

/** Return whether a metric is a fraction, shown in percent. */
export function isShare(name) {
  return METRICS[name]?.isShare ?? false;
}

/** Return a metric's value as text. */
export function metricText(name, value) {
  return isShare(name) ? percent(value) : decimal(value);
}

/** Return the splits with measurements, the most relevant first. */
export function splitsOf(summary) {
  return SPLITS.filter((split) => valueOn(summary.dense.metrics, split, summary.metric) !== null);
}

/** Return a metric on a split, or null. */
export function valueOn(metrics, split, name, runtime = "torch") {
  const found = metrics.find((each) => each.split === split && each.runtime === runtime);
  return found?.[name] ?? null;
}

/** Return the signed change of a value; in percentage points for fractions. */
export function changeText(name, before, after) {
  if (before === null || after === null) {
    return null;
  }
  const difference = after - before;
  const sign = difference > 0 ? "+" : "−";
  if (isShare(name)) {
    const points = Math.abs(100 * difference).toFixed(2);
    return Number(points) === 0 ? "±0 points" : `${sign}${points} points`;
  }
  return difference === 0 ? "±0" : `${sign}${decimal(Math.abs(difference))}`;
}

/** Return the metrics on a split with their intervals, or null. */
export function measuredOn(metrics, split, runtime = "torch") {
  return metrics.find((each) => each.split === split && each.runtime === runtime) ?? null;
}

/** Return a metric's interval, such as "88.0 to 93.4 %", or null if there is none. */
export function intervalText(name, interval) {
  if (!interval) {
    return null;
  }
  const [low, high] = interval;
  if (isShare(name)) {
    return `${(100 * low).toFixed(1)} to ${percent(high, 1)}`;
  }
  return `${decimal(low)} to ${decimal(high)}`;
}

/** Return the interval of a change from the dense network, and whether it is significant. */
export function doubtfulChange(name, change) {
  if (!change) {
    return null;
  }
  const [low, high] = [change.low, change.high].map((value) => signed(name, value));
  return change.is_measurable ? `${low} to ${high}` : `${low} to ${high}: no measurable difference`;
}

function signed(name, value) {
  const sign = value < 0 ? "−" : "+";
  return `${sign}${isShare(name) ? Math.abs(100 * value).toFixed(2) : decimal(Math.abs(value))}`;
}

/** Return the relative change of a cost, such as "−50.3 %". */
export function costChange(before, after) {
  if (!before || after === null || after === undefined) {
    return null;
  }
  const share = after / before - 1;
  const text = percent(Math.abs(share), 1);
  return share > 0 ? `+${text}` : `−${text}`;
}

/** Return the metric after retraining as text. */
export function headlineMetric(summary) {
  const [split] = splitsOf(summary);
  if (split === undefined) {
    return "–";
  }
  return metricText(summary.metric, valueOn(summary.retrained.metrics, split, summary.metric));
}
