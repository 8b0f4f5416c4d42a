// Theme selector: light, dark or the system's theme.

import { h } from "../dom.js";

const NAME = "secateur.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Dispatches `change` when the theme changes, so that charts are redrawn. */
export const theme = new EventTarget();

/** Return the control. */
export function themeSelect() {
  const options = [["", "System"], ["light", "Light"], ["dark", "Dark"]].map(([value, text]) =>
    h("option", { value }, text),
  );
  const select = h("select", { id: "theme", on: { change: () => choose(select.value) } }, options);
  select.value = document.documentElement.dataset.theme ?? "";
  return h("div", { class: "field" }, h("label", { class: "label", for: "theme" }, "Theme"), select);
}

dark.addEventListener("change", tell);

function choose(value) {
  try {
    localStorage.setItem(NAME, value);
  } catch {
    // storage is disabled: the choice lasts until the page is closed
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
