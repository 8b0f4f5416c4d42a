// The dialog that asks for the API key.

import { h } from "../dom.js";
import { keepKey } from "../session.js";

let asking = null;

/** Ask for a key; resolves when there is one. All who ask meanwhile wait for the same answer. */
export async function askForKey(wasRefused, signal) {
  asking ??= ask(wasRefused).finally(() => {
    asking = null;
  });
  await asking;
  signal?.throwIfAborted();
}

function ask(wasRefused) {
  return new Promise((resolve) => {
    const input = h("input", {
      id: "key",
      type: "password",
      required: true,
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "key-help",
      placeholder: "sec_…",
    });
    const submit = (event) => {
      event.preventDefault();
      keepKey(input.value.trim());
      dialog.close();
      dialog.remove();
      resolve();
    };
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "key-title", on: { cancel: (event) => event.preventDefault() } },
      h(
        "form",
        { class: "form", novalidate: false, on: { submit } },
        h("h2", { id: "key-title" }, "API key"),
        wasRefused && h("p", { class: "field-error", role: "alert" }, "That key is not accepted, or not any more."),
        h("label", { class: "label", for: "key" }, "Key"),
        input,
        h(
          "p",
          { class: "hint", id: "key-help" },
          "secateur serve prints one, and a link that brings it along. It is kept in this tab until you close it.",
        ),
        h("div", { class: "actions" }, h("button", { class: "button is-primary" }, "Go on")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
