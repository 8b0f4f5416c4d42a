// The choice between light, dark, and what the system says.

import { h } from "../dom.js";

const NAME = "secateur.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Tells listeners of `change` that colours are others now: what is drawn must be drawn again. */
export const theme = new EventTarget();

/** Return the control. */
export function themeSelect() {
  const options = [["", "As the system"], ["light", "Light"], ["dark", "Dark"]].map(([value, text]) =>
    h("option", { value }, text),
  );
  const select = h("select", { id: "theme", on: { change: () => choose(select.value) } }, options);
  select.value = document.documentElement.dataset.theme ?? "";
  return h("div", { class: "field" }, h("label", { class: "label", for: "theme" }, "Colours"), select);
}

dark.addEventListener("change", tell);

function choose(value) {
  try {
    localStorage.setItem(NAME, value);
  } catch {
    // storage is shut off: the choice lasts until the page is left
  }
  if (value === "") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = value;
  }
  tell();
}

function tell() {
  theme.dispatchEvent(new Event("change"));
}
