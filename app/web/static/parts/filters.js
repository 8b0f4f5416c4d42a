// Search field and choice of statuses above a list.

import { h } from "../dom.js";

/** What lists of models and data sets show: rejected uploads only if asked for. */
export const UPLOADS = [
  ["Usable", "status=ready&status=validating"],
  ["Rejected", "status=rejected"],
  ["All", ""],
];

const QUIET_SECONDS = 0.3;
let numFilters = 0;

/**
 * Return {node, params()}: a search field and a select. `choices` holds [text, query] pairs, where
 * query is part of an address such as `status=ready`; the first pair applies until the user chooses.
 */
export function filtersPart({ label, choices, onChange }) {
  numFilters += 1;
  const id = `filter-${numFilters}`;
  const search = h("input", { id: `${id}-search`, type: "search", autocomplete: "off", maxlength: 100, placeholder: "Search" });
  const select = h("select", { id: `${id}-show` }, choices.map(([text], number) => h("option", { value: String(number) }, text)));
  let timer = null;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(onChange, QUIET_SECONDS * 1000);
  });
  select.addEventListener("change", onChange);
  return {
    node: h(
      "search",
      { class: "filters" },
      h("label", { class: "unseen", for: search.id }, label),
      search,
      h("label", { class: "unseen", for: select.id }, "Show"),
      select,
    ),
    /** Whether the user narrowed the list. */
    get isNarrowed() {
      return search.value.trim() !== "" || select.value !== "0";
    },
    params: () => {
      const text = search.value.trim();
      const query = choices[Number(select.value)][1];
      return `${query && `&${query}`}${text && `&search=${encodeURIComponent(text)}`}`;
    },
  };
}
