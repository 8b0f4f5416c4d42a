// Files that only a key opens: fetched, then handed to the browser under their own name.

import { send } from "./api.js";
import { h } from "./dom.js";

/** Download a file of the service. */
export async function download(path, name, signal) {
  const response = await send(path, { signal });
  save(await response.blob(), name);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
