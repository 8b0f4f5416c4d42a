// The API key, kept in session storage: one tab only, until it is closed.

const NAME = "secateur.key";
let remembered = null; // fallback if storage is disabled

/** Return the stored key, or null. */
export function readKey() {
  try {
    return sessionStorage.getItem(NAME) ?? remembered;
  } catch {
    return remembered;
  }
}

/** Store a key, or remove it with null. */
export function keepKey(key) {
  remembered = key;
  try {
    if (key === null) {
      sessionStorage.removeItem(NAME);
    } else {
      sessionStorage.setItem(NAME, key);
    }
  } catch {
    // storage is disabled: `remembered` holds the key
  }
}

/**
 * Store the key of an address such as `/#key=sec_…`, as `secateur serve` prints it.
 *
 * Browsers never send the fragment. It is also removed from the address bar and the history.
 */
export function takeKeyFromAddress() {
  const match = /^#key=([^&]+)(?:&to=(.*))?$/.exec(location.hash);
  if (match !== null) {
    keepKey(decodeURIComponent(match[1]));
    const path = match[2] === undefined ? "/" : decodeURIComponent(match[2]);
    history.replaceState(null, "", `${location.pathname}#${path}`);
  }
}
