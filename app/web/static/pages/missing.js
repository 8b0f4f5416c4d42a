// Page for an unknown address.

import { h } from "../dom.js";
import { emptyState } from "../parts/problem.js";

export function missingPage(view) {
  const body = view.begin("Page not found");
  body.append(
    emptyState(
      "There is no page at this address",
      "Check the address for typing errors.",
      h("a", { class: "button", href: "#/" }, "Go to the overview"),
    ),
  );
}
