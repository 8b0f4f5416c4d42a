// Idempotency keys: the service creates a resource once even if the request is repeated.

/** Return a function from a body to an idempotency key, which changes only when the body does. */
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
