// Dialog for the API key.

import { h } from "../dom.js";
import { keepKey } from "../session.js";

let asking = null;

/** Prompt for a key and resolve when the user enters one. Concurrent calls share one dialog. */
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
        wasRefused && h("p", { class: "field-error", role: "alert" }, "Invalid or expired API key."),
        h("label", { class: "label", for: "key" }, "Key"),
        input,
        h(
          "p",
          { class: "hint", id: "key-help" },
          "secateur serve prints a key, and a link that contains it. The key is kept in this tab until you close it, or in this browser if you choose Keep me signed in.",
        ),
        h("div", { class: "actions" }, h("button", { class: "button is-primary" }, "Continue")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
