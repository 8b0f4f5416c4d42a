// Hash router: maps addresses such as `#/jobs/job_…?tab=1` to pages and shows one at a time.

import { announce } from "./announce.js";
import { ProblemError } from "./api.js";
import { h, fill } from "./dom.js";
import { notFound } from "./pages/missing.js";
import { loading, problemPanel } from "./parts/problem.js";

const TITLE = "Secateur";
const LOADING_DELAY_SECONDS = 0.2; // before the loading message appears

/** Context of a page: root element, parameters, query and abort signal. */
export class View {
  #isFirst;
  #waiting;

  constructor(root, params, query, signal, isFirst) {
    this.root = root;
    this.params = params;
    this.query = query;
    this.signal = signal;
    this.#isFirst = isFirst;
    this.#waiting = setTimeout(() => fill(root, loading("Loading …")), LOADING_DELAY_SECONDS * 1000);
    signal.addEventListener("abort", () => clearTimeout(this.#waiting));
  }

  /** Draw the page's head: title, breadcrumbs and actions. Returns the element for its body. */
  begin(title, { lead = null, crumbs = null, actions = [] } = {}) {
    clearTimeout(this.#waiting);
    this.heading = h("h1", { tabindex: "-1" }, title);
    this.lead = h("p", { class: "lead", hidden: lead === null }, lead);
    this.actions = h("div", { class: "actions" }, actions);
    const body = h("div", { class: "stack" });
    fill(
      this.root,
      h(
        "header",
        { class: "page-head" },
        h("div", {}, crumbs && h("p", { class: "crumbs" }, crumbs), this.heading, this.lead),
        this.actions,
      ),
      body,
    );
    this.setTitle(title);
    if (!this.#isFirst) {
      this.heading.focus();
    }
    return body;
  }

  /** Set the heading and the document's title. */
  setTitle(title) {
    this.heading.textContent = title;
    document.title = `${title} · ${TITLE}`;
  }

  /** Take an error of something that the page can do without. */
  ignore = (error) => {
    if (error.name !== "AbortError") {
      console.info(error.message);
    }
  };

  /** Show an error in place of the page. */
  fail(error) {
    if (this.signal.aborted) {
      return;
    }
    if (error instanceof ProblemError && error.status === 404) {
      notFound(this, error);
      return;
    }
    const body = this.begin("This page cannot be shown");
    body.append(problemPanel(error, { retry: reload }));
    announce("This page cannot be shown.");
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // malformed escapes match nothing, and the service responds with 404
  }
}

/** Show the page of the current address anew. */
export function reload() {
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Navigate to a path of the dashboard. */
export function go(path) {
  location.hash = path;
}

/**
 * Show the page of the current address, now and on every change.
 *
 * `routes` holds [pattern, page, path of its navigation entry]; the last pattern matches everything.
 */
export function startRouter(routes, root, onChange) {
  let running = null;
  const show = () => {
    const isFirst = running === null;
    running?.abort();
    running = new AbortController();
    const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
    for (const [pattern, page, place] of routes) {
      const match = pattern.exec(path);
      if (match !== null) {
        onChange(place);
        scrollTo(0, 0);
        const params = match.slice(1).map(decoded);
        const view = new View(root, params, new URLSearchParams(query), running.signal, isFirst);
        Promise.resolve()
          .then(() => page(view))
          .catch((error) => view.fail(error));
        return;
      }
    }
  };
  addEventListener("hashchange", show);
  show();
}
