// Cached models, their reports, and data sets by id.

import { ProblemError, read } from "../api.js";
import { h } from "../dom.js";
import { shortId } from "../format.js";

const known = new Map();

/** Return a model by id, or null if it is not accessible. */
export function findModel(id, signal) {
  return find(`/v1/models/${id}`, signal);
}

/** Return a data set by id, or null if it is not accessible. */
export function findDataset(id, signal) {
  return find(`/v1/datasets/${id}`, signal);
}

/** Return a model's report, or null if it is not accessible. */
export function findReport(id, signal) {
  return find(`/v1/models/${id}/report`, signal);
}

/** Return a link that shows the model's name once it is loaded. */
export function modelLink(id, signal) {
  const link = h("a", { href: `#/models/${id}` }, shortId(id));
  findModel(id, signal).then((model) => {
    if (model !== null) {
      link.textContent = nameOf(model);
    }
  });
  return link;
}

/** Return a link that shows the data set's name once it is loaded. */
export function datasetLink(id, signal) {
  const link = h("a", { href: `#/datasets/${id}` }, shortId(id));
  findDataset(id, signal).then((dataset) => {
    if (dataset !== null) {
      link.textContent = dataset.name;
    }
  });
  return link;
}

/** Return a model's name, with its version if that is not 1. */
export function nameOf(model) {
  return model.version === "1" ? model.name : `${model.name} v${model.version}`;
}

/** Cache the items of a list, so they need no separate requests. */
export function remember(kind, items) {
  for (const item of items) {
    known.set(`/v1/${kind}/${item.id}`, Promise.resolve(item));
  }
}

function find(path, signal) {
  if (!known.has(path)) {
    const found = read(path, { signal }).catch((error) => {
      if (!(error instanceof ProblemError && error.status === 404)) {
        known.delete(path); // retry the next time
      }
      return null;
    });
    known.set(path, found);
  }
  return known.get(path);
}
