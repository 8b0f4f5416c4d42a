// Button that prunes the service's own example.

import { announce } from "../announce.js";
import { post } from "../api.js";
import { h, fill } from "../dom.js";
import { idempotency } from "../once.js";
import { problemPanel } from "../parts/problem.js";
import { go } from "../router.js";

/** Return a button that starts the example's job and opens its page. */
export function exampleButton(signal) {
  const trouble = h("span");
  const keyOf = idempotency();
  const click = async () => {
    button.disabled = true;
    fill(trouble);
    try {
      const job = await post("/v1/example", undefined, { headers: { "Idempotency-Key": keyOf({}) }, signal });
      go(`/jobs/${job.id}`);
    } catch (error) {
      if (error.name !== "AbortError") {
        button.disabled = false;
        fill(trouble, problemPanel(error, { title: "The example was not started" }));
        announce("The example was not started.");
      }
    }
  };
  const button = h("button", { type: "button", class: "button", on: { click } }, "Try with an example");
  return h("span", {}, button, trouble);
}
