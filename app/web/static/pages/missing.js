// An address that leads nowhere.

import { h } from "../dom.js";
import { emptyState } from "../parts/problem.js";

export function missingPage(view) {
  const body = view.begin("There is no such page");
  body.append(
    emptyState(
      "This address leads nowhere",
      "It may have been typed wrong.",
      h("a", { class: "button", href: "#/" }, "Go to the overview"),
    ),
  );
}
