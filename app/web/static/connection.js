// Connection state, updated by every request. The banner and pending retries listen to it.

export const connection = new EventTarget();
let isAway = false;

/** Record whether a request got a response; notify listeners of a change. */
export function noteConnection(isReachable) {
  if (isAway === isReachable) {
    isAway = !isReachable;
    connection.dispatchEvent(new Event(isReachable ? "back" : "away"));
  }
}

/** Wake every pending retry. */
export function tryNow() {
  connection.dispatchEvent(new Event("try"));
}

addEventListener("online", tryNow);

/** Wait some seconds; ends early on abort or `tryNow`. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      connection.removeEventListener("try", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    connection.addEventListener("try", done);
    signal?.addEventListener("abort", done);
  });
}
