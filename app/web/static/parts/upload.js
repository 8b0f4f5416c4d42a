// Upload form: choose a file, send it and wait for its validation.

import { read } from "../api.js";
import { announce } from "../announce.js";
import { h, fill } from "../dom.js";
import { bytes, percent } from "../format.js";
import { watch } from "../polling.js";
import { uploadFile } from "../uploads.js";
import { dropZone } from "./drop.js";
import { refusalOf } from "./files.js";
import { fetchUrl, urlPart } from "./from_url.js";
import { loading, notice, problemPanel } from "./problem.js";

/**
 * Return a form that uploads to `path`.
 *
 * `use` is the kind of file that `refusalOf` checks; without one, the service alone judges, at once,
 * and takes no URL. `more(file)` returns additional fields: `{node, params()}`. `onDone` receives
 * the new resource once it is validated.
 */
export function uploadForm({ path, noun, use = null, hint, accept, more, onDone, signal }) {
  const root = h("div", { class: "form" });
  const begin = (...said) => fill(root, dropZone({ prompt: `Choose a ${noun} file`, hint, accept, onFile: ask }), use && urlPart(noun, ask), said);
  const ask = async (file) => {
    const refusal = file.url || use === null ? null : await refusalOf(file, use);
    if (refusal !== null) {
      announce(`${file.name} was not sent.`);
      begin(notice("bad", `${file.name} was not sent`, h("p", { class: "lines" }, refusal)));
      return;
    }
    const name = nameField(noun, file);
    const extra = more(file);
    const state = h("div");
    const submit = (event) => {
      event.preventDefault();
      const given = { name: name.value.trim(), ...extra.params() };
      send(file, given, { noun, state, form, path, onDone, signal, begin });
    };
    const form = h(
      "form",
      { class: "form", on: { submit } },
      h("p", {}, h("strong", {}, file.name), h("span", { class: "quiet" }, file.url ? " · from its URL" : ` · ${bytes(file.size)}`)),
      h("div", { class: "fields" }, name.node),
      extra.node,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button is-primary" }, file.url ? "Fetch" : "Upload"),
        h("button", { type: "button", class: "button", on: { click: () => begin() } }, "Choose another"),
      ),
      state,
    );
    fill(root, form);
    name.input.focus();
  };
  begin();
  return root;
}

function nameField(noun, file) {
  const input = h("input", { id: `${noun}-name`, maxlength: "200", autocomplete: "off" });
  input.value = file.name.replace(/\.[^.]+$/, "");
  const node = h("div", { class: "field" }, h("label", { class: "label", for: input.id }, "Name"), input);
  return {
    node,
    input,
    get value() {
      return input.value;
    },
  };
}

async function send(file, given, { noun, state, form, path, onDone, signal, begin }) {
  const controls = form.querySelectorAll("button, input, select, textarea");
  const lock = (isLocked) => controls.forEach((control) => { control.disabled = isLocked; });
  const bar = h("span", { vars: { "--share": "0%" } });
  const text = h("p", { class: "hint" }, file.url ? "The service fetches the file …" : "Sending …");
  fill(state, h("div", { class: "meter" }, bar), text);
  lock(true);
  announce(`Uploading ${file.name}.`);
  try {
    const onProgress = (share) => {
      bar.style.setProperty("--share", `${100 * share}%`);
      text.textContent = share < 1 ? `Sending: ${percent(share, 0)}` : "Storing …";
    };
    const made = file.url ? await fetchUrl(path, file.url, given, signal) : await uploadFile(addressOf(path, file, given), file, { onProgress, signal });
    fill(state, loading(`Validating the ${noun} …`));
    const item = made.status === undefined ? made : await validated(`${path}/${made.id}`, signal);
    if (item === null) {
      return;
    }
    announce(item.status === "rejected" ? `The ${noun} was rejected.` : `The ${noun} is ready.`);
    begin();
    onDone(item);
  } catch (error) {
    if (error.name === "AbortError") {
      return;
    }
    lock(false);
    fill(state, problemPanel(error, { title: `The ${noun} was not uploaded` }));
  }
}

/** Return the address of an upload; parameters without a value are left out. */
function addressOf(path, file, given) {
  const params = new URLSearchParams({ filename: file.name });
  for (const [key, value] of Object.entries(given)) {
    if (value !== null && value !== "") {
      params.set(key, value);
    }
  }
  return `${path}?${params}`;
}

/** Wait for the validation and return the resource, or null if the user leaves the page. */
async function validated(path, signal) {
  let found = null;
  await watch(0.7, signal, async () => {
    const item = await read(path, { signal });
    if (item.status === "validating") {
      return true;
    }
    found = item;
    return false;
  });
  return found;
}

/** Return the notice about a newly validated upload. */
export function verdictNotice(item, noun, next) {
  if (item.status !== "rejected") {
    return notice("good", `${item.name} is ready`, next && h("div", {}, next));
  }
  return notice(
    "bad",
    `${item.name} was rejected`,
    h("p", { class: "lines" }, item.error?.message ?? `The ${noun} cannot be used.`),
    item.error?.hint && h("p", { class: "small" }, item.error.hint),
  );
}
