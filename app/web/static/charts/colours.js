// The style sheet's colours as a canvas understands them.

import { h } from "../dom.js";

/** Return the present colours of charts, by what they are for. */
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

/** Return a colour that lets through what lies under it. */
export function faint(colour, share) {
  const parts = colour.match(/[\d.]+/g);
  return `rgba(${parts.slice(0, 3).join(", ")}, ${share})`;
}
