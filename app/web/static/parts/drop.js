// Drop zone for a file, also usable with the keyboard.

import { h } from "../dom.js";
import { icon } from "./icons.js";

let numDrops = 0;

/** Return the drop zone; `onFile` receives each chosen file. */
export function dropZone({ prompt, hint, accept, onFile }) {
  numDrops += 1;
  const id = `file-${numDrops}`;
  const input = h("input", {
    id,
    type: "file",
    class: "unseen",
    accept,
    "aria-describedby": `${id}-hint`,
    on: {
      change: () => {
        if (input.files.length > 0) {
          onFile(input.files[0]);
        }
      },
    },
  });
  const zone = h(
    "div",
    { class: "drop" },
    icon("up"),
    h("div", {}, h("label", { class: "button", for: id }, prompt), input),
    h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
  const over = (isOver) => (event) => {
    event.preventDefault();
    zone.classList.toggle("is-over", isOver);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length > 0) {
      onFile(event.dataTransfer.files[0]);
    }
  });
  return zone;
}
