// Section of a page with a heading.

import { h } from "../dom.js";

let numPanels = 0;

/**
 * Return a section with a heading and `actions` beside it.
 *
 * `isScrolled` marks a section that scrolls by itself and must therefore be focusable.
 */
export function panel(title, { actions = [], note = null, isScrolled = false } = {}, ...children) {
  numPanels += 1;
  const id = `panel-${numPanels}`;
  return h(
    "section",
    { class: "panel", "aria-labelledby": id, tabindex: isScrolled ? "0" : null },
    h(
      "div",
      { class: "panel-head" },
      h("h2", { id }, title),
      note && h("p", { class: "quiet small" }, note),
      h("div", { class: "actions" }, actions),
    ),
    children,
  );
}
