// Chart colours from the style sheet, in a form that canvas accepts.

import { h } from "../dom.js";

/** Return the current theme's chart colours by role. */
export function chartColours() {
  const probe = h("span", { hidden: true });
  document.body.append(probe);
  const find = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    first: find("chart-1"),
    second: find("chart-2"),
    grid: find("chart-grid"),
    text: find("text-2"),
    strong: find("text"),
    surface: find("surface"),
  };
  probe.remove();
  return found;
}

/** Return a colour with an opacity. */
export function faint(colour, share) {
  const parts = colour.match(/[\d.]+/g);
  return `rgba(${parts.slice(0, 3).join(", ")}, ${share})`;
}
