// Pages for an unknown address, and for a job, model or data set that is not there (any more).

import { announce } from "../announce.js";
import { post } from "../api.js";
import { h, fill } from "../dom.js";
import { capital } from "../format.js";
import { emptyState, problemPanel } from "../parts/problem.js";
import { reload } from "../router.js";

const KINDS = {
  jobs: ["job", "All jobs"],
  models: ["model", "All models"],
  datasets: ["data set", "All data sets"],
  sweeps: ["sweep", "All sweeps"],
};

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

/** Show that a resource does not exist, or was deleted and can be restored. */
export function notFound(view, { problem, message }) {
  const [, , collection, id] = problem.instance.split("/");
  const [noun, all] = KINDS[collection] ?? ["page", null];
  const isDeleted = problem.code === "deleted";
  const title = isDeleted ? `This ${noun} was deleted` : `There is no such ${noun}`;
  const body = view.begin(title);
  const trouble = h("div");
  const restore = async () => {
    try {
      await post(`/v1/${collection}/${encodeURIComponent(id)}/restore`, undefined, { signal: view.signal });
      announce(`The ${noun} was restored.`);
      reload();
    } catch (error) {
      fill(trouble, problemPanel(error, { title: `The ${noun} was not restored` }));
    }
  };
  body.append(
    trouble,
    emptyState(
      isDeleted ? "You can still restore it" : `${capital(message)}.`,
      isDeleted ? "It is removed with its files when the time for that has passed." : "It may have been deleted, or it belongs to another tenant. Check the address for typing errors.",
      isDeleted && h("button", { type: "button", class: "button is-primary", on: { click: restore } }, "Restore it"),
      all && h("a", { class: "button", href: `#/${collection}` }, all),
      h("a", { class: "button", href: "#/" }, "Go to the overview"),
    ),
  );
  announce(`${title}.`);
}
