// A part of a page, with a heading of its own.

import { h } from "../dom.js";

let numPanels = 0;

/**
 * Return a section with a heading; `actions` stand beside it.
 *
 * One that may be too tall for its place `isScrolled` there, which the keyboard must reach.
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
