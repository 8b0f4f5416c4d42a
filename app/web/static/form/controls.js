// Fields for simple values, one control each.
//
// Every field of a form is {node, get, set, mark}: its element, a getter, a setter, and
// `mark(pointer, text)`, which shows an error at a JSON pointer below the field (null clears it) and
// returns whether the pointer was found. The value of an empty number field is undefined.

import { h } from "../dom.js";
import { words } from "../format.js";

let numFields = 0;

/** Return a field around a control, with label, hint and error text. */
export function wrap(name, schema, control, { get, set, isWide = false }) {
  numFields += 1;
  const id = `field-${numFields}`;
  control.id = id;
  const hint = schema.description && h("p", { class: "hint", id: `${id}-hint` }, plain(schema.description));
  const error = h("p", { class: "field-error", id: `${id}-error`, hidden: true });
  control.setAttribute("aria-describedby", [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" "));
  const label = h("label", { class: "label", for: id }, titleOf(name, schema));
  const isCheck = control.type === "checkbox";
  const node = h(
    "div",
    { class: isWide ? "field is-wide" : "field", data: { name } },
    isCheck ? h("div", { class: "check" }, control, label) : [label, control],
    hint,
    error,
  );
  return { node, get, set, mark: marker(control, error) };
}

// Sources in parentheses are for the reference, not for the form.
const SOURCE = /\s*\([^()]*(?:arXiv:|claims? \d|CN\d)[^()]*\)/g;

/** Convert a docstring to plain text without its sources. */
export function plain(text) {
  return text?.replaceAll("`", "").replaceAll(/\s+/g, " ").replaceAll(SOURCE, "").replaceAll(/\bNone: /g, "Not set: ");
}

/** Return the title of a field: the schema's, or the words of its name. */
export function titleOf(name, schema) {
  return schema.title ?? words(name);
}

/** Return the `mark` function of one control. */
export function marker(control, error) {
  return (pointer, text) => {
    if (text === null) {
      control.removeAttribute("aria-invalid");
      error.hidden = true;
      return true;
    }
    if (pointer !== "" && !/^\/\d+$/.test(pointer)) {
      return false;
    }
    control.setAttribute("aria-invalid", "true");
    error.textContent = text;
    error.hidden = false;
    return true;
  };
}

export function booleanField(name, schema) {
  const input = h("input", { type: "checkbox" });
  return wrap(name, schema, input, {
    get: () => input.checked,
    set: (value) => {
      input.checked = value === true;
    },
  });
}

export function numberField(name, schema, isNullable) {
  const isWhole = schema.type === "integer";
  const input = h("input", {
    type: "number",
    step: isWhole ? "1" : "any",
    min: schema.minimum ?? schema.exclusiveMinimum,
    max: schema.maximum ?? schema.exclusiveMaximum,
    inputmode: isWhole ? "numeric" : "decimal",
    placeholder: isNullable ? "not set" : null,
  });
  return wrap(name, schema, input, {
    get: () => (input.value === "" ? emptyValue(isNullable) : Number(input.value)),
    set: (value) => {
      input.value = value ?? "";
    },
  });
}

/** Field for a text. A page may offer values in a datalist with the id `known-NAME`. */
export function textField(name, schema, isNullable) {
  const input = h("input", { type: "text", maxlength: schema.maxLength, autocomplete: "off", list: `known-${name}` });
  return wrap(name, schema, input, {
    get: () => (input.value === "" && isNullable ? null : input.value),
    set: (value) => {
      input.value = value ?? "";
    },
  });
}

export function choiceField(name, schema, isNullable) {
  const options = schema.enum.map((value) => h("option", { value }, value));
  const select = h("select", {}, isNullable && h("option", { value: "" }, "not set"), options);
  return wrap(name, schema, select, {
    get: () => (select.value === "" && isNullable ? null : select.value),
    set: (value) => {
      select.value = value ?? "";
    },
  });
}

/** Field for a number or a keyword, such as `round_to`: 8 or auto. */
export function mixedField(name, schema, isNullable) {
  const constants = schema.anyOf.filter((option) => option.const !== undefined).map((option) => option.const);
  const input = h("input", { type: "text", autocomplete: "off", placeholder: `a number or ${constants.join(", ")}` });
  const get = () => {
    const text = input.value.trim();
    if (text === "") {
      return emptyValue(isNullable);
    }
    return constants.includes(text) || Number.isNaN(Number(text)) ? text : Number(text);
  };
  return wrap(name, schema, input, {
    get,
    set: (value) => {
      input.value = value ?? "";
    },
  });
}

/** Field for a list: one text per line, or numbers separated by commas. */
export function listField(name, schema, isNullable) {
  const item = schema.items ?? schema.prefixItems?.[0] ?? {};
  const isText = item.type === "string";
  const input = isText
    ? h("textarea", { rows: "2", placeholder: "one per line" })
    : h("input", { type: "text", autocomplete: "off", placeholder: isNullable ? "not set" : "numbers, separated by commas" });
  const get = () => {
    const parts = input.value.split(isText ? "\n" : ",").map((part) => part.trim()).filter(Boolean);
    if (parts.length === 0 && isNullable) {
      return null;
    }
    return isText ? parts : parts.map((part) => (Number.isNaN(Number(part)) ? part : Number(part)));
  };
  return wrap(name, schema, input, {
    get,
    set: (value) => {
      input.value = (value ?? []).join(isText ? "\n" : ", ");
    },
  });
}

function emptyValue(isNullable) {
  return isNullable ? null : undefined;
}
