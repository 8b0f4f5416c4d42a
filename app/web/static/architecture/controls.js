// Controls of one layer: let the method decide, keep every channel, or keep so many.

import { h } from "../dom.js";
import { count } from "../format.js";

let numControls = 0;

/** Return {node, show(layer)}. `edit` is as in `view.js`. */
export function layerControls({ asked, ask }) {
  numControls += 1;
  const id = `layer-${numControls}`;
  let layer = null;
  const radio = (kind) => h("input", { type: "radio", name: id, id: `${id}-${kind}`, value: kind, on: { change: () => choose(kind) } });
  const radios = { auto: radio("auto"), frozen: radio("frozen"), width: radio("width") };
  const labelled = (kind, ...text) => h("div", { class: "check" }, radios[kind], h("label", { for: radios[kind].id }, text));
  const all = h("span");
  const width = h("input", { type: "number", id: `${id}-number`, min: "1", step: "1", inputmode: "numeric", "aria-label": "Number of channels to keep" });
  const node = h(
    "fieldset",
    { class: "arch-controls" },
    h("legend", { class: "label" }, "Channels to keep"),
    labelled("auto", "Automatic"),
    labelled("frozen", "All ", all, ": freeze the layer"),
    h("div", { class: "arch-set" }, labelled("width", "This many:"), width),
  );
  const isValid = () => width.value !== "" && Number.isInteger(Number(width.value)) && Number(width.value) >= 1 && Number(width.value) < layer.before;
  const choose = (kind) => {
    if (kind !== "width") {
      width.removeAttribute("aria-invalid");
      ask(layer, { kind });
    } else if (isValid()) {
      width.removeAttribute("aria-invalid");
      ask(layer, { kind, width: Number(width.value) });
    } else {
      width.setAttribute("aria-invalid", "true");
    }
  };
  width.addEventListener("input", () => {
    radios.width.checked = true;
    choose("width");
  });
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault(); // it would start the job
    }
  });
  const show = (found) => {
    const isAnother = layer?.name !== found.name;
    layer = found;
    const now = asked(found);
    node.hidden = now === null;
    if (now === null) {
      return;
    }
    all.textContent = count(found.before);
    width.max = String(found.before - 1);
    if (!isAnother && document.activeElement === width) {
      return; // the user is typing
    }
    radios[now.kind].checked = true;
    width.value = String(now.kind === "width" ? now.width : Math.min(found.after, found.before - 1));
    width.removeAttribute("aria-invalid");
  };
  return { node, show };
}
