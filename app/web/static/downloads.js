// Downloads that need the API key: fetch the file, then save it under its name.

import { send } from "./api.js";
import { h } from "./dom.js";

/** Download a file from the service. */
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
  // The browser has started to save the blob by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
