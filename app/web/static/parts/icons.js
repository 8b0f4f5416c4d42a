// Decorative icons. They always stand beside text, so they are hidden from screen readers.

import { svg } from "../dom.js";

const PATHS = {
  check: ["M3.5 8.5 6.5 11.5 12.5 4.5"],
  cross: ["M4 4 12 12", "M12 4 4 12"],
  dot: ["M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6"],
  ring: ["M8 3a5 5 0 1 0 0 10a5 5 0 1 0 0-10"],
  clock: ["M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11", "M8 5v3.2l2 1.4"],
  pause: ["M5.5 3.5v9", "M10.5 3.5v9"],
  stop: ["M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11", "M4.2 4.2 11.8 11.8"],
  warning: ["M8 2.2 14.2 13.2H1.8Z", "M8 6.4v3", "M8 11.3v.2"],
  down: ["M8 2.5v8", "M4.8 7.5 8 10.7 11.2 7.5", "M3 13.5h10"],
  up: ["M8 11V3", "M4.8 6 8 2.8 11.2 6", "M3 13.5h10"],
};

/** Return an icon by name. */
export function icon(name) {
  const picture = svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" });
  for (const d of PATHS[name]) {
    picture.append(svg("path", { d }));
  }
  return picture;
}

/** Return the logo: two crossed blades. */
export function brandMark() {
  const mark = svg("svg", { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" });
  mark.append(
    svg("rect", { width: "32", height: "32", rx: "7" }),
    svg("path", { d: "M9 25 20.5 7.5" }),
    svg("path", { d: "M23 25 11.5 7.5" }),
  );
  return mark;
}
