// Preprocessing: its fields, and a data set's in words.

import { h } from "../dom.js";
import { changesOf, objectField } from "../form/object.js";
import { decimal } from "../format.js";

const NUMBERS = ["scale", "mean", "std"]; // fields that a preset replaces

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

/**
 * Return the fields of a preset or explicit numbers: {node, get, params}.
 *
 * `get()` returns the spec, `params()` the parameters of an upload.
 */
export function preprocessFields(schema) {
  const field = objectField(schema, schema, { isFirst: (name) => name === "preset" });
  const preset = field.fields.get("preset");
  const show = () => {
    for (const name of NUMBERS) {
      field.fields.get(name).node.hidden = preset.get() !== null;
    }
  };
  field.node.addEventListener("change", show);
  show();
  const node = h(
    "fieldset",
    { class: "group" },
    h("legend", {}, "Preprocessing"),
    h("p", { class: "hint" }, "Use the preprocessing that the network was trained with: x = (pixel × scale − mean) ÷ std. Most torchvision and timm networks use imagenet. By default, pixels are scaled to [0, 1]."),
    field.node,
  );
  const get = () => {
    const changes = changesOf(schema, schema, field.get());
    if (changes.preset !== undefined) {
      NUMBERS.forEach((name) => delete changes[name]);
    }
    return changes;
  };
  return {
    node,
    get,
    params: () => ({ preprocess: Object.keys(get()).length === 0 ? null : JSON.stringify(get()) }),
  };
}
