// A file at a URL, which the service fetches: the field for it, and the request.

import { post } from "../api.js";
import { h } from "../dom.js";

const SCHEMES = "(https|s3|gs)://.+";

/** Return a form for a URL; `onFile` receives {name, url} in place of a file. */
export function urlPart(noun, onFile) {
  const input = h("input", { id: `${noun.replace(" ", "-")}-url`, type: "text", required: true, pattern: SCHEMES, maxlength: "2000", autocomplete: "off", placeholder: "an https, s3 or gs URL", title: "An https, s3 or gs URL" });
  const submit = (event) => {
    event.preventDefault();
    const url = input.value.trim();
    onFile({ name: nameIn(url), url });
  };
  return h(
    "form",
    { class: "field is-limited", on: { submit } },
    h("label", { class: "label", for: input.id }, "Or its URL"),
    h("div", { class: "field is-inline" }, input, h("button", { class: "button" }, "Use URL")),
  );
}

function nameIn(url) {
  const last = url.split(/[?#]/)[0].split("/").at(-1);
  try {
    return decodeURIComponent(last) || url;
  } catch {
    return last || url;
  }
}

/** Have the service fetch a file; return the new resource. `params` are those of an upload. */
export function fetchUrl(path, url, params, signal) {
  const { architecture, num_classes: classes, in_channels: channels, image_size: size, ...others } = params;
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== null && value !== ""));
  const shape = { num_classes: classes, in_channels: channels, image_size: size };
  const numbers = Object.fromEntries(Object.entries(shape).filter(([, value]) => value).map(([name, value]) => [name, Number(value)]));
  return post(`${path}:fetch`, { url, ...given, ...(architecture && { architecture: { name: architecture, ...numbers } }) }, { signal });
}
