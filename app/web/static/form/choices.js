// Field for a list of enum values: one checkbox each, in a fixed order.

import { h } from "../dom.js";
import { marker, plain, titleOf } from "./controls.js";

let numGroups = 0;

export function choicesField(name, schema) {
  numGroups += 1;
  const id = `choices-${numGroups}`;
  const boxes = schema.items.enum.map((value) => ({
    value,
    box: h("input", { type: "checkbox", id: `${id}-${value}` }),
  }));
  const error = h("p", { class: "field-error", id: `${id}-error`, hidden: true });
  const node = h(
    "fieldset",
    { class: "field is-wide", data: { name }, "aria-describedby": `${id}-hint ${id}-error` },
    h("legend", { class: "label" }, titleOf(name, schema)),
    h(
      "div",
      { class: "checks" },
      boxes.map(({ value, box }) =>
        h("div", { class: "check" }, box, h("label", { for: box.id }, value)),
      ),
    ),
    h("p", { class: "hint", id: `${id}-hint` }, plain(schema.description)),
    error,
  );
  return {
    node,
    get: () => boxes.filter(({ box }) => box.checked).map(({ value }) => value),
    set: (values) => {
      for (const { value, box } of boxes) {
        box.checked = (values ?? []).includes(value);
      }
    },
    mark: marker(node, error),
  };
}
