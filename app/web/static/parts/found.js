// What a network found in an image, drawn on it: boxes, keypoints, or the mask of classes; or
// its text.

import { h, svg } from "../dom.js";
import { percent, plural } from "../format.js";

const MOST_LISTED = 20;
const POINTS_ACROSS = 100; // a point's radius, as a part of the longer side

/** Return whether an answer of /infer has something to draw or to read. */
export function hasFound(answer) {
  return Boolean(answer.boxes ?? answer.masks ?? answer.keypoints ?? answer.texts);
}

/** Return the picture of an answer's first image, with a list of what was found. */
export function foundIn(answer, picture, signal) {
  if (answer.texts) {
    const [{ text, score }] = answer.texts;
    return h("p", { class: "found-text" }, text === "" ? h("span", { class: "quiet" }, "No text") : h("code", {}, text), h("span", { class: "number" }, percent(score, 1)));
  }
  const [{ width, height }] = answer.images;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "found", role: "img", "aria-label": wordsOf(answer) });
  drawing.append(imageOf(picture, width, height));
  if (answer.masks) {
    const url = URL.createObjectURL(new Blob([bytesOf(answer.masks[0].png)], { type: "image/png" }));
    signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    const mask = imageOf(url, width, height);
    mask.setAttribute("class", "found-mask");
    drawing.append(mask);
  } else if (answer.keypoints) {
    const radius = Math.max(width, height) / POINTS_ACROSS;
    for (const { points } of answer.keypoints[0]) {
      drawing.append(...points.map(({ x, y }) => svg("circle", { cx: x, cy: y, r: radius, class: "found-point" })));
    }
  } else {
    for (const { box } of answer.boxes[0]) {
      const [left, top, right, bottom] = box;
      drawing.append(svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "found-box" }));
    }
  }
  return h("div", {}, drawing, listOf(answer));
}

/** Return what was found in words: `3 boxes`, `2 classes`, or the text. */
export function wordsOf(answer) {
  if (answer.texts) {
    return `“${answer.texts[0].text}”`;
  }
  if (answer.keypoints) {
    return plural(answer.keypoints[0].length, "object", "objects");
  }
  return answer.boxes ? plural(answer.boxes[0].length, "box", "boxes") : plural(answer.masks[0].classes.length, "class", "classes");
}

function listOf(answer) {
  const rows = rowsOf(answer);
  const more = rows.length - MOST_LISTED;
  return [
    h("ol", { class: "guesses" }, rows.slice(0, MOST_LISTED).map(([name, value]) => h("li", {}, h("span", { class: "guess-name" }, name), h("span", { class: "number" }, value)))),
    rows.length === 0 && h("p", { class: "quiet" }, "Nothing was found."),
    more > 0 && h("p", { class: "quiet" }, `And ${more} more.`),
  ];
}

/** Return the name and the score, or share, of each thing that was found. */
function rowsOf(answer) {
  const found = answer.keypoints ? answer.keypoints[0].flatMap(({ points }) => points) : answer.boxes?.[0];
  return found
    ? found.map(({ label, score }) => [label, percent(score, 1)])
    : [...answer.masks[0].classes].sort((one, other) => other.share - one.share).map(({ label, share }) => [label, percent(share, 1)]);
}

function imageOf(url, width, height) {
  return svg("image", { href: url, x: 0, y: 0, width, height, preserveAspectRatio: "none" });
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
