// Requests to the API. They return data, or throw ProblemError or UnreachableError.

import { noteConnection } from "./connection.js";
import { askForKey } from "./parts/key.js";
import { readKey } from "./session.js";

const AWAY = new Set([502, 503, 504]); // from a proxy, or from a service whose parts are down

/** Error response of the service (RFC 9457). */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The service responded with status ${status}.`);
    this.status = status;
    this.problem = problem;
  }

  /** Whether a retry may succeed. */
  get isTransient() {
    return this.status >= 500 || this.status === 429;
  }
}

/** No response was received. */
export class UnreachableError extends Error {
  constructor() {
    super("The service cannot be reached.");
  }
}

/** Send a request with the API key, prompting for one on 401. Returns a successful response. */
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

/** Get JSON. */
export async function read(path, options) {
  return (await send(path, options)).json();
}

/** Post JSON or an empty body and return the response's JSON; null for 204. */
export async function post(path, body, { headers = {}, ...options } = {}) {
  const content =
    body === undefined
      ? { headers }
      : { body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
  const response = await send(path, { method: "POST", ...content, ...options });
  return response.status === 204 ? null : response.json();
}

/** Read a paginated list up to a number of items. */
export async function readAll(path, most, options, wanted = "") {
  const found = [];
  let after = "";
  while (found.length < most) {
    const page = await read(`${path}?limit=${Math.min(100, most)}${wanted}${after}`, options);
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

/** Convert an error response to a ProblemError. */
export async function problemOf(response) {
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { title: response.statusText, code: "unknown" };
  }
  return new ProblemError(response.status, problem);
}
