// Dialog for the name and the tags of a job, a model or a data set.

import { send } from "../api.js";
import { h, fill } from "../dom.js";
import { labelsPart } from "./labels.js";
import { problemPanel } from "./problem.js";

/**
 * Return a button that opens the dialog.
 *
 * `path` is the resource's path in the API, `noun` what it is. A name is `isOptional` or not.
 * `onChange` receives the changed resource.
 */
export function renameButton(item, { path, noun, isOptional = false, onChange, signal }) {
  const click = () => open(item, { path, noun, isOptional, onChange, signal });
  return h("button", { type: "button", class: "button", on: { click } }, "Name and tags");
}

function open(item, { path, noun, isOptional, onChange, signal }) {
  const labels = labelsPart(item, { noun, isOptional });
  const trouble = h("div");
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify({ ...(isOptional && { name: null }), tags: [], ...labels.get() });
      const headers = { "Content-Type": "application/json" };
      const response = await send(path, { method: "PATCH", body, headers, signal });
      close();
      onChange(await response.json());
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title: `The ${noun} was not changed` }));
      }
    }
  };
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "rename-title", on: { close: () => dialog.remove() } },
    h(
      "form",
      { class: "form", on: { submit } },
      h("h2", { id: "rename-title" }, "Name and tags"),
      labels.node,
      trouble,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button is-primary" }, "Save"),
        h("button", { type: "button", class: "button", on: { click: close } }, "Cancel"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
