// Uploads with XMLHttpRequest, because `fetch` reports no upload progress.

import { ProblemError, UnreachableError } from "./api.js";
import { noteConnection } from "./connection.js";
import { askForKey } from "./parts/key.js";
import { readKey } from "./session.js";

/**
 * Post a file as the request's body and return the response's JSON.
 *
 * `onProgress` receives the fraction sent.
 */
export async function uploadFile(path, file, { onProgress, signal }) {
  for (;;) {
    const key = readKey();
    const { status, body } = await put(path, file, key, onProgress, signal);
    if (status >= 200 && status < 300) {
      return body;
    }
    if (status !== 401) {
      throw new ProblemError(status, body);
    }
    await askForKey(key !== null, signal);
  }
}

function put(path, file, key, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (key !== null) {
      request.setRequestHeader("Authorization", `Bearer ${key}`);
    }
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) {
        onProgress(event.loaded / event.total);
      }
    };
    request.onload = () => {
      noteConnection(true);
      resolve({ status: request.status, body: request.response ?? {} });
    };
    request.onerror = () => {
      noteConnection(false);
      reject(new UnreachableError());
    };
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
