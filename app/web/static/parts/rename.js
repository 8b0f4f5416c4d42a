// Dialog for the name and the tags of a job, a model or a data set.

import { send } from "../api.js";
import { h } from "../dom.js";
import { openForm } from "./dialog.js";
import { labelsPart } from "./labels.js";

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
  const act = async () => {
    const body = JSON.stringify({ ...(isOptional && { name: null }), tags: [], ...labels.get() });
    const headers = { "Content-Type": "application/json" };
    const response = await send(path, { method: "PATCH", body, headers, signal });
    onChange(await response.json());
  };
  openForm({ title: "Name and tags", body: labels.node, action: "Save", act, failure: `The ${noun} was not changed` });
}
