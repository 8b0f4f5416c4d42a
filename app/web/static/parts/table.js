// Tables that keep their heads, and can be pushed sideways, by keyboard too, where there is no room.

import { h } from "../dom.js";

// Only what can be pushed is a place of its own, that the keyboard stops at.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) {
      target.setAttribute("role", "region");
      target.setAttribute("tabindex", "0");
      target.setAttribute("aria-label", target.querySelector("caption").textContent);
    } else {
      ["role", "tabindex", "aria-label"].forEach((name) => target.removeAttribute(name));
    }
  }
});

/**
 * Return a table.
 *
 * `columns` has a heading, or [heading, class]; the first cell of each row is its heading.
 */
export function table(caption, columns, rows, { isCaptionShown = false } = {}) {
  const heads = columns.map((column) => (Array.isArray(column) ? column : [column, null]));
  const frame = h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "table" },
      h("caption", { class: isCaptionShown ? null : "unseen" }, caption),
      h("thead", {}, h("tr", {}, heads.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h(
            "tr",
            {},
            cells.map((cell, column) =>
              column === 0
                ? h("th", { scope: "row", class: heads[0][1] }, cell)
                : h("td", { class: heads[column][1] }, cell),
            ),
          ),
        ),
      ),
    ),
  );
  widths.observe(frame);
  return frame;
}

/** Return a list of facts: pairs of name and value; pairs without a value are left out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Return something that is made only when it is opened: long tables cost nothing until then. */
export function disclosure(summary, make) {
  const details = h("details", { class: "disclosure" }, h("summary", {}, summary));
  details.addEventListener(
    "toggle",
    () => {
      details.append(make());
    },
    { once: true },
  );
  return details;
}
