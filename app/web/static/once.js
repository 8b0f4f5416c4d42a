// Keys that let the service make a thing once, however often it is asked by a bad network.

/** Return a function from a body to its idempotency key: the same until the body is another. */
export function idempotency() {
  let text = null;
  let key = null;
  return (body) => {
    const now = JSON.stringify(body);
    if (now !== text) {
      text = now;
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      key = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    return key;
  };
}
