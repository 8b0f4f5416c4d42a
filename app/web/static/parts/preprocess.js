// A data set's preprocessing in words.

import { decimal } from "../format.js";

/** Return a short description of the preprocessing. */
export function preprocessOf({ preprocess }) {
  const { preset = null, scale = null, mean = [0], std = [1] } = preprocess ?? {};
  if (preset) {
    return preset;
  }
  const isGiven = scale !== null || mean.some((value) => value !== 0) || std.some((value) => value !== 1);
  const scaled = scale === null ? "" : `scale ${decimal(scale)}, `;
  const list = (values) => values.map((value) => decimal(value)).join(", ");
  return isGiven ? `${scaled}mean ${list(mean)}, std ${list(std)}` : "none given";
}
