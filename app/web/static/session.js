// The API key: asked for once, kept for this tab, and never part of an address for long.

const NAME = "secateur.key";
let remembered = null; // where storage is shut off, until the page is left

/** Return the key, or null. */
export function readKey() {
  try {
    return sessionStorage.getItem(NAME) ?? remembered;
  } catch {
    return remembered;
  }
}

/** Keep a key, or with null forget it. */
export function keepKey(key) {
  remembered = key;
  try {
    if (key === null) {
      sessionStorage.removeItem(NAME);
    } else {
      sessionStorage.setItem(NAME, key);
    }
  } catch {
    // storage is shut off: `remembered` has it
  }
}

/**
 * Take the key out of an address such as `/#key=sec_…`, as `secateur serve` prints it.
 *
 * A fragment never leaves the browser; it is taken out of the address bar and the history as well.
 */
export function takeKeyFromAddress() {
  const match = /^#key=([^&]+)(?:&to=(.*))?$/.exec(location.hash);
  if (match !== null) {
    keepKey(decodeURIComponent(match[1]));
    const path = match[2] === undefined ? "/" : decodeURIComponent(match[2]);
    history.replaceState(null, "", `${location.pathname}#${path}`);
  }
}
