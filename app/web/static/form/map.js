// Field for an object with keys chosen by the user, such as overrides for single layers.

import { h } from "../dom.js";
import { marker, plain, titleOf } from "./controls.js";
import { objectField } from "./object.js";
import { resolve } from "./schema.js";

let numRows = 0;

export function mapField(name, schema, root) {
  const value = resolve(schema.additionalProperties, root);
  const rows = new Set();
  const list = h("div", { class: "stack" });
  const error = h("p", { class: "field-error", hidden: true });
  const add = (key = "", content = undefined) => {
    const row = makeRow(key, content, value, root, () => {
      rows.delete(row);
      row.node.remove();
      changed(list);
      button.focus();
    });
    rows.add(row);
    list.append(row.node);
    return row;
  };
  const button = h(
    "button",
    { type: "button", class: "button is-small", on: { click: () => add().focus() } },
    "Add",
  );
  const node = h(
    "fieldset",
    { class: "group is-wide", data: { name } },
    h("legend", {}, titleOf(name, schema)),
    h("p", { class: "hint" }, plain(value.description ?? schema.description)),
    list,
    h("p", { class: "panel-part" }, button),
    error,
  );
  return {
    node,
    get: () => Object.fromEntries([...rows].filter((row) => row.key() !== "").map((row) => [row.key(), row.get()])),
    set: (values) => {
      rows.clear();
      list.replaceChildren();
      for (const [key, content] of Object.entries(values ?? {})) {
        add(key, content);
      }
    },
    mark: (pointer, text) => {
      if (text !== null) {
        const row = [...rows].find((each) => pointer.startsWith(`/${each.key()}/`) || pointer === `/${each.key()}`);
        if (row !== undefined && row.mark(pointer.slice(row.key().length + 1), text)) {
          return true;
        }
      } else {
        rows.forEach((row) => row.mark("", null));
      }
      return marker(node, error)("", text);
    },
  };
}

function makeRow(key, content, schema, root, onRemove) {
  numRows += 1;
  const input = h("input", { id: `map-${numRows}`, type: "text", autocomplete: "off", placeholder: "layer*.weight" });
  input.value = key;
  const field = objectField(schema, root);
  if (content !== undefined) {
    field.set(content);
  }
  const node = h(
    "div",
    { class: "group" },
    h(
      "div",
      { class: "fields" },
      h("div", { class: "field is-wide" }, h("label", { class: "label", for: input.id }, "Name (glob)"), input),
    ),
    h("div", { class: "panel-part" }, field.node),
    h(
      "p",
      { class: "panel-part" },
      h("button", { type: "button", class: "button is-small", on: { click: onRemove } }, "Remove"),
    ),
  );
  return {
    node,
    key: () => input.value.trim(),
    get: () => Object.fromEntries(Object.entries(field.get()).filter(([, value]) => value !== null)),
    mark: field.mark,
    focus: () => input.focus(),
  };
}

function changed(node) {
  node.dispatchEvent(new Event("input", { bubbles: true }));
}
