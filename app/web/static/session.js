// The API key, kept in session storage: one tab only, until it is closed. If the user wants to stay
// signed in, it is kept in local storage too, for all tabs.

const NAME = "secateur.key";
let remembered = null; // fallback if storage is disabled

/** Return the stored key, or null. */
export function readKey() {
  try {
    return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? remembered;
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
      localStorage.removeItem(NAME);
    } else {
      sessionStorage.setItem(NAME, key);
      if (isKept()) {
        localStorage.setItem(NAME, key);
      }
    }
  } catch {
    // storage is disabled: `remembered` holds the key
  }
}

/** Return whether the key is kept for all tabs. */
export function isKept() {
  try {
    return localStorage.getItem(NAME) !== null;
  } catch {
    return false;
  }
}

/** Keep the key for all tabs until the user signs out, or only for this one. */
export function stayIn(isWanted) {
  const key = readKey();
  try {
    if (isWanted && key !== null) {
      localStorage.setItem(NAME, key);
    } else {
      localStorage.removeItem(NAME);
    }
  } catch {
    // storage is disabled: the key stays in this tab
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
