// Names and tags that users give to jobs, models and data sets.

import { h } from "../dom.js";

let numParts = 0;

/** Return a resource's tags. */
export function tagsOf({ tags }) {
  return tags.length > 0 && h("span", { class: "tags" }, tags.map((tag) => h("span", { class: "tag" }, tag)));
}

/**
 * Return {node, get}: fields for a name and for tags separated by commas.
 *
 * `noun` is what has the name; it must have one unless `isOptional`.
 */
export function labelsPart({ name = null, tags = [] } = {}, { noun = "job", isOptional = true } = {}) {
  numParts += 1;
  const input = (id, value, placeholder, maxlength) => {
    const control = h("input", { id: `label-${numParts}-${id}`, type: "text", autocomplete: "off", placeholder, maxlength });
    control.value = value;
    return control;
  };
  const title = input("name", name ?? "", isOptional ? "optional" : null, 200);
  title.required = !isOptional;
  const words = input("tags", tags.join(", "), "separated by commas", 1000);
  return {
    node: h(
      "div",
      { class: "fields panel-part" },
      field(`Name of the ${noun}`, title),
      field("Tags", words),
    ),
    get: () => {
      const found = words.value.split(",").map((text) => text.trim()).filter(Boolean);
      return { ...(title.value.trim() && { name: title.value.trim() }), ...(found.length > 0 && { tags: found }) };
    },
  };
}

function field(text, control) {
  return h("div", { class: "field" }, h("label", { class: "label", for: control.id }, text), control);
}
