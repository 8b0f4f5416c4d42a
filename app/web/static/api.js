// Requests to the service, and what comes of them: data, a problem, or no answer at all.

import { noteConnection } from "./connection.js";
import { askForKey } from "./parts/key.js";
import { readKey } from "./session.js";

const AWAY = new Set([502, 503, 504]); // somebody answers, and it is not the service, or not all of it

/** The service refused, and said why (RFC 9457). */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.problem = problem;
  }

  /** Whether the same request may be answered well a little later. */
  get isPassing() {
    return this.status >= 500 || this.status === 429;
  }
}

/** There was no answer. */
export class UnreachableError extends Error {
  constructor() {
    super("the service cannot be reached");
  }
}

/** Send a request, with the key; asks for one if it must. Returns a good response. */
export async function send(path, options = {}) {
  for (;;) {
    const key = readKey();
    const response = await ask(path, options, key);
    if (response.ok) {
      return response;
    }
    if (response.status !== 401) {
      throw await problemOf(response);
    }
    await askForKey(key !== null, options.signal);
  }
}

/** Read JSON. */
export async function read(path, options) {
  return (await send(path, options)).json();
}

/** Post JSON, or nothing, and read the answer. */
export async function post(path, body, { headers = {}, ...options } = {}) {
  const content =
    body === undefined
      ? { headers }
      : { body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
  const response = await send(path, { method: "POST", ...content, ...options });
  return response.status === 204 ? null : response.json();
}

/** Read one page of a list after another, up to a number of items. */
export async function readAll(path, most, options) {
  const found = [];
  let after = "";
  while (found.length < most) {
    const page = await read(`${path}?limit=${Math.min(100, most)}${after}`, options);
    found.push(...page.data);
    if (!page.has_more) {
      break;
    }
    after = `&after=${encodeURIComponent(page.next_after)}`;
  }
  return found;
}

async function ask(path, options, key) {
  const headers = new Headers(options.headers);
  if (key !== null) {
    headers.set("Authorization", `Bearer ${key}`);
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name !== "AbortError") {
      noteConnection(false);
      throw new UnreachableError();
    }
    throw error;
  }
  noteConnection(!AWAY.has(response.status));
  return response;
}

/** Return the error that a bad response is. */
export async function problemOf(response) {
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { title: response.statusText, code: "unknown" };
  }
  return new ProblemError(response.status, problem);
}
