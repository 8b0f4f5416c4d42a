// Server-sent events with `fetch`, because EventSource cannot send an Authorization header.

import { ProblemError, UnreachableError, send } from "./api.js";
import { pause } from "./connection.js";

const FIRST_WAIT_SECONDS = 1;
const MAX_WAIT_SECONDS = 30;

/** Incremental parser of the event stream format (WHATWG HTML, "Server-sent events"). */
export class EventParser {
  #rest = "";
  #event = { id: null, type: "message", data: [] };

  /** Parse more text and return the completed events. */
  take(text) {
    const found = [];
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) {
      const event = this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
      if (event !== null) {
        found.push(event);
      }
    }
    return found;
  }

  #line(line) {
    if (line === "") {
      const { id, type, data } = this.#event;
      this.#event = { id, type: "message", data: [] };
      return data.length === 0 ? null : { id, type, data: data.join("\n") };
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#event.data.push(value);
    } else if (field === "event") {
      this.#event.type = value;
    } else if (field === "id") {
      this.#event.id = value;
    }
    return null;
  }
}

/**
 * Follow a job's events after a number until the service ends the stream or `signal` aborts.
 *
 * Reconnects after the last event received, with exponential backoff and jitter. The service ends
 * the stream when the job ends or the service shuts down. Returns the number of the last event.
 */
export async function follow(path, after, onEvents, signal) {
  let last = after;
  let wait = FIRST_WAIT_SECONDS;
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": String(last) };
      const response = await send(path, { headers, signal });
      for await (const events of eventsOf(response)) {
        wait = FIRST_WAIT_SECONDS;
        last = Number(events.at(-1).id);
        onEvents(events.map((event) => JSON.parse(event.data)));
      }
      return last;
    } catch (error) {
      if (error instanceof ProblemError && !error.isTransient) {
        throw error;
      }
    }
    await pause(wait * (0.5 + Math.random() / 2), signal);
    wait = Math.min(MAX_WAIT_SECONDS, wait * 2);
  }
  return last;
}

async function* eventsOf(response) {
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new UnreachableError();
    }
    if (piece.done) {
      return;
    }
    const events = parser.take(piece.value);
    if (events.length > 0) {
      yield events;
    }
  }
}
