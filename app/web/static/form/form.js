// Form for a whole config: one section per object, and one last section for simple values.

import { h } from "../dom.js";
import { plain, titleOf } from "./controls.js";
import { fieldFor, objectField, unionField } from "./object.js";
import { changesOf, defaultOf, kindOf, resolve } from "./schema.js";

const REST = "More";

/**
 * Return the form: {node, changes(), set(config), mark(pointer, text), clear()}.
 *
 * `order` lists the first sections and `open` the expanded ones. `onChange` is called whenever a
 * value may have changed.
 */
export function configForm(schema, { order = [], open = [], onChange = () => {} } = {}) {
  const fields = new Map();
  const sections = new Map();
  const rest = [];
  const names = Object.keys(schema.properties);
  names.sort((one, other) => rank(order, one) - rank(order, other));
  for (const name of names) {
    const found = resolve(schema.properties[name], schema);
    const kind = kindOf(found);
    if (kind === "object") {
      fields.set(name, objectField(found, schema));
    } else if (kind === "union") {
      fields.set(name, unionField(name, found, schema, { isBare: true }));
    } else {
      fields.set(name, fieldFor(name, found, schema));
      fields.get(name).set(defaultOf(found, schema));
      rest.push(name);
      continue;
    }
    sections.set(name, makeSection(titleOf(name, found), found.description, fields.get(name).node, open.includes(name)));
  }
  const more = makeSection(REST, null, h("div", { class: "fields" }, rest.map((name) => fields.get(name).node)), false);
  const node = h(
    "div",
    { class: "stack is-tight" },
    [...sections.values()].map((section) => section.node),
    rest.length > 0 && more.node,
  );
  const changes = () => changesOf(schema, schema, valueOf(fields));
  const tell = () => {
    const found = changes();
    for (const [name, section] of sections) {
      section.count(countLeaves(found[name]));
    }
    more.count(rest.filter((name) => name in found).length);
    onChange(found);
  };
  node.addEventListener("input", tell);
  node.addEventListener("change", tell);
  return {
    node,
    changes,
    set: (config) => {
      const start = defaultOf({ ...schema, default: undefined }, schema);
      for (const [name, field] of fields) {
        field.set(merged(start[name], config[name]));
      }
      tell();
    },
    mark: (pointer, text) => {
      const [, name, below] = /^\/([^/]+)(.*)$/.exec(pointer) ?? [];
      const isFound = fields.get(name)?.mark(below, text) ?? false;
      if (isFound) {
        (sections.get(name) ?? more).node.open = true;
      }
      return isFound;
    },
    clear: () => fields.forEach((field) => field.mark("", null)),
  };
}

function makeSection(title, description, content, isOpen) {
  const badge = h("span", { class: "changed", hidden: true });
  const node = h(
    "details",
    { class: "section", open: isOpen },
    h("summary", {}, title, description && h("span", { class: "hint" }, plain(description)), badge),
    h("div", { class: "section-body" }, content),
  );
  return {
    node,
    count: (number) => {
      badge.hidden = number === 0;
      badge.textContent = `${number} changed`;
    },
  };
}

function valueOf(fields) {
  return Object.fromEntries([...fields].map(([name, field]) => [name, field.get()]));
}

function merged(start, changes) {
  const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isPlain(start) || !isPlain(changes)) {
    return changes === undefined ? start : changes;
  }
  const found = { ...start };
  for (const [name, value] of Object.entries(changes)) {
    found[name] = merged(start[name], value);
  }
  return found;
}

function countLeaves(changes) {
  if (changes === undefined) {
    return 0;
  }
  const isPlain = typeof changes === "object" && changes !== null && !Array.isArray(changes);
  return isPlain ? Object.values(changes).reduce((sum, each) => sum + countLeaves(each), 0) : 1;
}

function rank(order, name) {
  const found = order.indexOf(name);
  return found < 0 ? order.length : found;
}
