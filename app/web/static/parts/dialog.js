// Dialog with a form.

import { h, fill } from "../dom.js";
import { problemPanel } from "./problem.js";

let numDialogs = 0;

/**
 * Open a dialog. It closes when `act`, called on submission, has succeeded.
 *
 * `body` holds its fields, `action` is the text of its button, and `failure` the title of an error.
 */
export function openForm({ title, body, action, act, failure }) {
  numDialogs += 1;
  const id = `dialog-${numDialogs}`;
  const trouble = h("div");
  const submit = async (event) => {
    event.preventDefault();
    try {
      await act();
      dialog.close();
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title: failure }));
      }
    }
  };
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": id, on: { close: () => dialog.remove() } },
    h(
      "form",
      { class: "form", on: { submit } },
      h("h2", { id }, title),
      body,
      trouble,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button is-primary" }, action),
        h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Cancel"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
