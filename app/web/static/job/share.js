// Dialog for links that show a job's report without a key.

import { announce } from "../announce.js";
import { post, readAll, send } from "../api.js";
import { h, fill } from "../dom.js";
import { moment, plural, words } from "../format.js";
import { copyField } from "../parts/copy.js";
import { problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";

const LIVES = [7, 1, 30];
const MOST = 100;

/** Return a button that opens the dialog. */
export function shareButton(job, signal) {
  return h("button", { type: "button", class: "button", on: { click: () => open(job, signal) } }, "Share report");
}

function open(job, signal) {
  const [made, list, trouble] = [h("div"), h("div"), h("div")];
  const life = h("select", { id: "share-life" }, LIVES.map((days) => h("option", { value: String(days) }, plural(days, "day"))));
  const show = async () => fill(list, linkTable(await readAll("/v1/shares", MOST, { signal }, `&job=${job.id}`), revoke));
  const tried = (act) => async (...values) => {
    fill(trouble);
    try {
      await act(...values);
      await show();
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error));
      }
    }
  };
  const create = tried(async () => {
    const share = await post("/v1/shares", { job: job.id, expires_in_days: Number(life.value) }, { signal });
    fill(made, copyField("Link to the report", `${location.origin}${share.url}`), h("p", { class: "hint" }, "Copy it now: it is not stored and cannot be shown again."));
    announce("Created a link.");
  });
  const revoke = tried(async (share) => {
    await send(`/v1/shares/${share.id}`, { method: "DELETE", signal });
    fill(made);
    announce("Revoked the link.");
  });
  const submit = (event) => {
    event.preventDefault();
    create();
  };
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "share-title", on: { close: () => dialog.remove() } },
    h(
      "form",
      { class: "form", on: { submit } },
      h("h2", { id: "share-title" }, "Share the report"),
      h("p", { class: "hint" }, "Whoever has the link can read this job’s report without a key, and nothing else, until it expires or you revoke it."),
      h("div", { class: "field" }, h("label", { class: "label", for: life.id }, "Valid for"), life),
      made,
      trouble,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button is-primary" }, "Create a link"),
        h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Close"),
      ),
      list,
    ),
  );
  signal.addEventListener("abort", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  tried(async () => {})();
}

function linkTable(shares, revoke) {
  const rows = shares.map((share) => [
    moment(share.created_at),
    words(share.state),
    moment(share.expires_at),
    share.state === "valid" &&
      h("button", { type: "button", class: "button is-small is-danger", "aria-label": `Revoke the link of ${moment(share.created_at)}`, on: { click: () => revoke(share) } }, "Revoke"),
  ]);
  return rows.length > 0 && table("Links to this report", ["Created", "State", "Expires", ["Revoke", "end"]], rows);
}
