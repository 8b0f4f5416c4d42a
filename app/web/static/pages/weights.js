// Fields for a file that holds only weights: the architecture they belong to.

import { h } from "../dom.js";
import { NEED_ARCHITECTURE } from "../parts/file_kinds.js";

/** Return the fields for a file; none for an exported program, which contains its architecture. */
export function weightsFields(file) {
  if (!NEED_ARCHITECTURE.some((suffix) => file.name.endsWith(suffix))) {
    return { node: null, params: () => ({}) };
  }
  const fields = [
    ["architecture", "Architecture", { placeholder: "torchvision/resnet18", required: true, pattern: "(torchvision|timm)/[A-Za-z0-9_.]{1,100}" }, "torchvision/NAME or timm/NAME"],
    ["num_classes", "Classes", { type: "number", min: "1", placeholder: "library default" }, null],
    ["in_channels", "Input channels", { type: "number", min: "1", value: "3" }, null],
    ["image_size", "Image size", { type: "number", min: "8", value: "224" }, "Side in pixels"],
  ].map(([name, label, attributes, hint]) => {
    const input = h("input", { id: `weights-${name}`, "aria-describedby": hint && `weights-${name}-hint`, ...attributes });
    const node = h(
      "div",
      { class: "field" },
      h("label", { class: "label", for: input.id }, label),
      input,
      hint && h("p", { class: "hint", id: `${input.id}-hint` }, hint),
    );
    return { name, input, node };
  });
  return {
    node: h("div", { class: "fields" }, fields.map((field) => field.node)),
    params: () => Object.fromEntries(fields.map(({ name, input }) => [name, input.value.trim()])),
  };
}
