// Detect a file's kind before the upload, with file_kinds.js and the logic of secateur/core/files.py.

import { FILE_KINDS, TAKEN } from "./file_kinds.js";

const HEAD_BYTES = 64 * 1024;
const TAIL_BYTES = 256 * 1024;
const MAX_NAMES = 1000;
const ARTICLES = { model: "a model", dataset: "a data set" };
// Zip records that hold member names: signature, offset of the name's length, offset of the name.
const LOCAL = ["PK\x03\x04", 26, 30];
const LISTED = ["PK\x01\x02", 28, 46];

/** Return why a file cannot be sent as a `use` ("model" or "dataset"), or null if it can. */
export async function refusalOf(file, use) {
  if (file.size === 0) {
    return `${file.name} is empty`;
  }
  const head = await latin(file.slice(0, HEAD_BYTES));
  const tail = await latin(file.slice(Math.max(0, file.size - TAIL_BYTES)));
  const kind = kindOf(head, tail);
  if (kind?.use === use) {
    return null;
  }
  if (kind === undefined) {
    return `${file.name} is of an unknown kind. ${TAKEN[use]}`;
  }
  if (kind.use !== undefined && kind.advice === undefined) {
    return `${file.name} is ${kind.what}: ${ARTICLES[kind.use]}, not ${ARTICLES[use]}. ${TAKEN[use]}`;
  }
  return `${file.name} is ${kind.what}, which is not supported. ${TAKEN[use]}${kind.advice === undefined ? "" : `\n${kind.advice}`}`;
}

/** Return the kind of a file from its first and last bytes, decoded as Latin-1. */
export function kindOf(head, tail) {
  const names = head.startsWith("PK") ? memberNames(head, tail).join("\n") : "";
  return FILE_KINDS.find(
    (kind) =>
      (kind.head === undefined || new RegExp(`^(?:${kind.head})`).test(head)) &&
      (kind.members === undefined || (names !== "" && new RegExp(kind.members).test(names))),
  );
}

function memberNames(head, tail) {
  const found = new Set();
  for (const [data, [mark, lengthAt, nameAt]] of [[head, LOCAL], [tail, LISTED]]) {
    for (let at = data.indexOf(mark); at >= 0 && found.size < MAX_NAMES; at = data.indexOf(mark, at + 4)) {
      const length = data.charCodeAt(at + lengthAt) + 256 * data.charCodeAt(at + lengthAt + 1);
      const name = data.slice(at + nameAt, at + nameAt + length);
      if (length > 0 && name.length === length) {
        found.add(name.replaceAll("\n", " "));
      }
    }
  }
  return [...found];
}

async function latin(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const parts = [];
  for (let at = 0; at < bytes.length; at += 8192) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  }
  return parts.join("");
}
