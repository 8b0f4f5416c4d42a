// Text with a button that copies it.

import { announce } from "../announce.js";
import { h } from "../dom.js";

let numFields = 0;

/** Return a field that shows a text and copies it, or selects it where browsers forbid copying. */
export function copyField(label, text) {
  numFields += 1;
  const id = `copy-${numFields}`;
  const input = h("input", { id, type: "text", readonly: true, spellcheck: "false", autocomplete: "off" });
  input.value = text;
  const button = copyButton(label, text, () => input.select());
  return h("div", { class: "field" }, h("label", { class: "label", for: id }, label), h("div", { class: "field is-inline" }, input, button));
}

/** Return a button that copies a text; `select` selects it, for browsers that forbid copying. */
export function copyButton(label, text, select) {
  const click = async () => {
    select();
    try {
      await navigator.clipboard.writeText(text); // undefined without HTTPS
      button.textContent = "Copied";
      announce("Copied.");
    } catch {
      announce("Selected. Copy it with the keyboard.");
    }
  };
  const button = h("button", { type: "button", class: "button is-small", "aria-label": `Copy: ${label}`, on: { click } }, "Copy");
  return button;
}
