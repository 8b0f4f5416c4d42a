// Names of models and data sets by id; asked for once.

import { ProblemError, read } from "../api.js";
import { h } from "../dom.js";
import { shortId } from "../format.js";

const known = new Map();

/** Return a model by id, or null if it cannot be seen. */
export function findModel(id, signal) {
  return find(`/v1/models/${id}`, signal);
}

/** Return a data set by id, or null likewise. */
export function findDataset(id, signal) {
  return find(`/v1/datasets/${id}`, signal);
}

/** Return a link whose text becomes the model's name. */
export function modelLink(id, signal) {
  const link = h("a", { href: `#/models/${id}` }, shortId(id));
  findModel(id, signal).then((model) => {
    if (model !== null) {
      link.textContent = nameOf(model);
    }
  });
  return link;
}

/** Return a model's name, with its version from the second on. */
export function nameOf(model) {
  return model.version === "1" ? model.name : `${model.name} v${model.version}`;
}

/** Remember what a list said, so that nobody asks for it one by one. */
export function remember(kind, items) {
  for (const item of items) {
    known.set(`/v1/${kind}/${item.id}`, Promise.resolve(item));
  }
}

function find(path, signal) {
  if (!known.has(path)) {
    const found = read(path, { signal }).catch((error) => {
      if (!(error instanceof ProblemError)) {
        known.delete(path); // it may be there the next time
      }
      return null;
    });
    known.set(path, found);
  }
  return known.get(path);
}
