// Fields for objects and unions, and the choice of a field for a schema.

import { h } from "../dom.js";
import { choicesField } from "./choices.js";
import { booleanField, choiceField, listField, mixedField, numberField, plain, textField, titleOf, wrap } from "./controls.js";
import { mapField } from "./map.js";
import { defaultOf, kindOf, resolve, splitNull, variantOf } from "./schema.js";

export { changesOf, defaultOf } from "./schema.js";

/** Return the field for one property of an object. */
export function fieldFor(name, schema, root) {
  const [found, isNullable] = splitNull(resolve(schema, root), root);
  const makers = {
    boolean: booleanField,
    integer: numberField,
    number: numberField,
    string: textField,
    choice: choiceField,
    mixed: mixedField,
    list: listField,
    choices: choicesField,
    map: (...some) => mapField(some[0], some[1], root),
    object: (...some) => groupField(some[0], some[1], root),
    union: (...some) => unionField(some[0], some[1], root),
  };
  return makers[kindOf(found)](name, found, isNullable);
}

/**
 * Return the field for an object: all properties except those in `skip`. Simple properties come
 * before objects, and those that `isFirst` accepts come first.
 */
export function objectField(schema, root, { skip = [], isFirst = () => false } = {}) {
  const found = resolve(schema, root);
  const parts = Object.entries(found.properties)
    .filter(([name, part]) => !skip.includes(name) && kindOf(resolve(part, root)) !== "constant")
    .sort(([one], [other]) => isFirst(other) - isFirst(one))
    .map(([name, part]) => [name, fieldFor(name, part, root)]);
  const isGroup = ([, field]) => field.node.classList.contains("group");
  const node = h(
    "div",
    { class: "fields" },
    parts.filter((part) => !isGroup(part)).map(([, field]) => field.node),
    parts.filter(isGroup).map(([, field]) => field.node),
  );
  const fields = new Map(parts);
  const set = (value) => {
    for (const [name, field] of fields) {
      field.set(value?.[name]);
    }
  };
  set(defaultOf({ ...found, default: undefined }, root));
  return {
    node,
    fields,
    get: () => Object.fromEntries(parts.map(([name, field]) => [name, field.get()])),
    set,
    mark: (pointer, text) => markBelow(fields, pointer, text),
  };
}

/** Return the field for a union: a select for the variant and the variant's properties. */
export function unionField(name, schema, root, { isBare = false } = {}) {
  const tag = schema.discriminator.propertyName;
  const names = Object.keys(schema.discriminator.mapping);
  const usual = schema.default?.[tag] ?? names[0];
  names.sort((one, other) => (other === usual) - (one === usual));
  const common = commonParts(schema, root, names);
  const hint = h("p", { class: "hint" });
  const place = h("div");
  let body = null;
  const show = (variant, value) => {
    const found = variantOf(schema, root, variant);
    const before = body?.get() ?? {};
    body = objectField(found, root, { skip: [tag], isFirst: (part) => !common.has(part) });
    const start = defaultOf({ ...found, default: undefined }, root);
    body.set({ ...start, ...suggestions(found, root), ...shared(found, before), ...value });
    hint.textContent = plain(found.description) ?? "";
    place.replaceChildren(body.node);
  };
  const select = h(
    "select",
    { on: { change: () => show(select.value) } },
    names.map((each) => h("option", { value: each }, each)),
  );
  const first = variantOf(schema, root, names[0]);
  const chooser = wrap(tag, { title: first.properties[tag].title }, select, { get: () => select.value, set: () => {} });
  chooser.node.append(hint);
  const set = (value) => {
    const variant = value?.[tag] ?? usual;
    body = null;
    select.value = variant;
    show(variant, value);
  };
  set(schema.default);
  const content = [h("div", { class: "fields" }, chooser.node), place];
  const node = isBare
    ? h("div", { class: "form" }, content)
    : h("fieldset", { class: "group is-wide" }, h("legend", {}, titleOf(name, schema)), h("div", { class: "form" }, content));
  return {
    node,
    get: () => ({ [tag]: select.value, ...body.get() }),
    set,
    mark: (pointer, text) => {
      if (text === null) {
        chooser.mark("", null);
        return body.mark("", null);
      }
      // The service's pointers contain the variant's name, but a config's do not.
      const prefix = `/${select.value}`;
      const below = pointer === prefix || pointer.startsWith(`${prefix}/`) ? pointer.slice(prefix.length) : pointer;
      return (below !== "" && below !== `/${tag}` && body.mark(below, text)) || chooser.mark("", text);
    },
  };
}

function groupField(name, schema, root) {
  const field = objectField(schema, root);
  const node = h(
    "fieldset",
    { class: "group is-wide", data: { name } },
    h("legend", {}, titleOf(name, schema)),
    schema.description && h("p", { class: "hint" }, plain(schema.description)),
    field.node,
  );
  return { ...field, node };
}

function markBelow(fields, pointer, text) {
  if (text === null) {
    fields.forEach((field) => field.mark("", null));
    return true;
  }
  const [, name, rest] = /^\/([^/]+)(.*)$/.exec(pointer) ?? [];
  return fields.get(name)?.mark(rest, text) ?? false;
}

/** Return the property names shared by all variants; they are shown after the specific ones. */
function commonParts(schema, root, names) {
  const [first, ...others] = names.map((name) => Object.keys(variantOf(schema, root, name).properties));
  return new Set(first.filter((name) => others.every((parts) => parts.includes(name))));
}

/** Return initial values for required fractions, which have no default: 0.5. */
function suggestions(schema, root) {
  return Object.fromEntries(
    (schema.required ?? [])
      .map((name) => [name, resolve(schema.properties[name], root)])
      .filter(([, part]) => part.type === "number" && part.exclusiveMaximum === 1)
      .map(([name]) => [name, 0.5]),
  );
}

/** Return the values of the previous variant that this variant also has. */
function shared(schema, before) {
  return Object.fromEntries(Object.entries(before).filter(([name]) => name in schema.properties));
}
