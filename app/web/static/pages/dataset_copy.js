// Dialog that makes a data set of the same samples with other preprocessing.

import { post, read } from "../api.js";
import { h } from "../dom.js";
import { idempotency } from "../once.js";
import { openForm } from "../parts/dialog.js";
import { preprocessFields } from "../parts/preprocess.js";
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
  const keyOf = idempotency();
  const act = async () => {
    const wanted = { preprocess: fields.get() };
    const headers = { "Idempotency-Key": keyOf(wanted) };
    const copy = await post(`/v1/datasets/${dataset.id}/copies`, wanted, { headers, signal });
    go(`/datasets/${copy.id}`);
  };
  openForm({
    title: "Other preprocessing",
    body: [
      h("p", { class: "small" }, "This makes a second data set of the same samples. Nothing is uploaded again, and this one stays as it is."),
      fields.node,
    ],
    action: "Make the copy",
    act,
    failure: "The data set was not copied",
  });
}
