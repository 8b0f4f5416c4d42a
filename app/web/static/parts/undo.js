// Deletion with an undo, and the notice at the bottom of the page that offers it.

import { post, send } from "../api.js";
import { h, fill } from "../dom.js";

const SHOWN_SECONDS = 60;
let place = null;
let timer = null;

/**
 * Delete a resource and offer to restore it.
 *
 * `path` is its path in the API and `name` its name in the notice. `onChange` is called after the
 * deletion, and again after an undo.
 */
export async function deleteWithUndo({ path, name, onChange, signal }) {
  await send(path, { method: "DELETE", signal });
  onChange();
  say(`Deleted ${name}.`, "Undo", async () => {
    try {
      await post(`${path}/restore`);
      say(`Restored ${name}.`);
      onChange();
    } catch (error) {
      say(`${name} was not restored: ${error.message}`);
    }
  });
}

/** Return a button that deletes a resource with an undo. `onError` receives an error. */
export function deleteButton({ path, name, onChange, onError, signal, isSmall = false }) {
  const click = async () => {
    button.disabled = true;
    try {
      await deleteWithUndo({ path, name, onChange, signal });
    } catch (error) {
      button.disabled = false;
      onError(error);
    }
  };
  const label = isSmall ? { "aria-label": `Delete ${name}` } : {};
  const button = h("button", { type: "button", class: `button is-danger ${isSmall ? "is-small" : ""}`, ...label, on: { click } }, "Delete");
  return button;
}

function say(text, action = null, act = null) {
  place ??= document.body.appendChild(h("div", { class: "toast", role: "status" }));
  const close = () => {
    clearTimeout(timer);
    place.hidden = true;
    fill(place);
  };
  place.hidden = false;
  fill(
    place,
    h("span", {}, text),
    action && h("button", { type: "button", class: "button is-small", on: { click: () => { close(); act(); } } }, action),
    h("button", { type: "button", class: "button is-small is-quiet", "aria-label": "Close this notice", on: { click: close } }, "Close"),
  );
  clearTimeout(timer);
  timer = setTimeout(close, SHOWN_SECONDS * 1000);
}
