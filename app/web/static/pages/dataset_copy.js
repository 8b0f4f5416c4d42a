// Dialog that makes a data set of the same samples with other preprocessing.

import { post, read } from "../api.js";
import { h, fill } from "../dom.js";
import { idempotency } from "../once.js";
import { preprocessFields } from "../parts/preprocess.js";
import { problemPanel } from "../parts/problem.js";
import { go } from "../router.js";

/** Return a button that opens the dialog. `onError` receives an error that prevents it. */
export function copyButton(dataset, { onError, signal }) {
  const click = async () => {
    try {
      open(dataset, await read("/v1/schemas/preprocess", { signal }), signal);
    } catch (error) {
      onError(error);
    }
  };
  return h("button", { type: "button", class: "button", on: { click } }, "Other preprocessing");
}

function open(dataset, schema, signal) {
  const fields = preprocessFields(schema);
  const trouble = h("div");
  const keyOf = idempotency();
  const close = () => {
    dialog.close();
    dialog.remove();
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const wanted = { preprocess: fields.get() };
      const headers = { "Idempotency-Key": keyOf(wanted) };
      const copy = await post(`/v1/datasets/${dataset.id}/copies`, wanted, { headers, signal });
      close();
      go(`/datasets/${copy.id}`);
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title: "The data set was not copied" }));
      }
    }
  };
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "copy-title", on: { close: () => dialog.remove() } },
    h(
      "form",
      { class: "form", on: { submit } },
      h("h2", { id: "copy-title" }, "Other preprocessing"),
      h("p", { class: "small" }, "This makes a second data set of the same samples. Nothing is uploaded again, and this one stays as it is."),
      fields.node,
      trouble,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button is-primary" }, "Make the copy"),
        h("button", { type: "button", class: "button", on: { click: close } }, "Cancel"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
