// Dialog for a job's name and tags.

import { send } from "../api.js";
import { h, fill } from "../dom.js";
import { labelsPart } from "../parts/labels.js";
import { problemPanel } from "../parts/problem.js";

/** Return a button that opens the dialog; `onChange` receives the changed job. */
export function renameButton(job, onChange, signal) {
  return h("button", { type: "button", class: "button", on: { click: () => open(job, onChange, signal) } }, "Name and tags");
}

function open(job, onChange, signal) {
  const labels = labelsPart(job);
  const trouble = h("div");
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify({ name: null, tags: [], ...labels.get() });
      const headers = { "Content-Type": "application/json" };
      const response = await send(job.urls.self, { method: "PATCH", body, headers, signal });
      close();
      onChange(await response.json());
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title: "The job was not changed" }));
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
