// Whether the service can be reached, as the last request found it. The banner and whoever waits
// to try again listen here.

export const connection = new EventTarget();
let isAway = false;

/** Note what became of a request; tells listeners if that is news. */
export function noteConnection(isReachable) {
  if (isAway === isReachable) {
    isAway = !isReachable;
    connection.dispatchEvent(new Event(isReachable ? "back" : "away"));
  }
}

/** Let everybody who waits try now. */
export function tryNow() {
  connection.dispatchEvent(new Event("try"));
}

addEventListener("online", tryNow);

/** Wait; a signal ends it at once, and so does somebody who wants to try now. */
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
