// Tables with sticky heads that scroll sideways on narrow screens, with the keyboard too.

import { h } from "../dom.js";

// Only a table that overflows becomes a focusable region.
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
 * `columns` holds headings or [heading, class]. The first cell of each row is a row heading.
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

/** Return a description list of [name, value]; pairs without a value are omitted. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** Return a disclosure whose content is created when it is first opened. */
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
