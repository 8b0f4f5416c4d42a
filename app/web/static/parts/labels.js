// Name and tags of a job.

import { h } from "../dom.js";

let numParts = 0;

/** Return {node, get}: fields for a name and for tags separated by commas. */
export function labelsPart({ name = null, tags = [] } = {}) {
  numParts += 1;
  const input = (id, value, placeholder, maxlength) => {
    const control = h("input", { id: `label-${numParts}-${id}`, type: "text", autocomplete: "off", placeholder, maxlength });
    control.value = value;
    return control;
  };
  const title = input("name", name ?? "", "optional", 200);
  const words = input("tags", tags.join(", "), "separated by commas", 1000);
  return {
    node: h(
      "div",
      { class: "fields panel-part" },
      field("Name of the job", title),
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
