// Keys of the tenant: create one for a colleague, revoke one.

import { announce } from "../announce.js";
import { post, readAll, send } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { moment } from "../format.js";
import { copyField } from "../parts/copy.js";
import { panel } from "../parts/panel.js";
import { loading, notice, problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";

const MOST = 500;
const READ = ["models:read", "datasets:read", "jobs:read", "quotas:read"];
const ROLES = [
  ["See everything, change nothing", READ],
  ["Prune, upload and run models", [...READ, "models:write", "datasets:write", "jobs:write", "infer"]],
  ["Run models only", ["models:read", "infer"]],
  ["Read metrics only", ["metrics:read"]],
  ["Administer, with keys", ["admin"]],
];
const LIVES = [["30 days", 30], ["A week", 7], ["A year", 365], ["No end", null]];

export async function keysPage(view) {
  const body = view.begin("Keys", { lead: "Give colleagues and programs a key of their own, and revoke it when they no longer need it." });
  const trouble = h("div");
  const made = h("div", { class: "panel-part" });
  const list = h("div", {}, loading("Loading keys …"));
  const show = async () => {
    const keys = await readAll("/v1/keys", MOST, { signal: view.signal });
    refill(list, keyTable(keys, revoke));
  };
  const tried = (title, act) => async (...values) => {
    fill(trouble);
    try {
      await act(...values);
      await show();
    } catch (error) {
      if (error.name !== "AbortError") {
        fill(trouble, problemPanel(error, { title }));
      }
    }
  };
  const create = tried("The key was not created", async (wanted) => {
    const key = await post("/v1/keys", wanted, { signal: view.signal });
    fill(made, createdNotice(key));
    announce(`Created a key for ${key.name}.`);
  });
  const revoke = tried("The key was not revoked", async (key) => {
    await send(`/v1/keys/${key.id}`, { method: "DELETE", signal: view.signal });
    fill(made);
    announce(`Revoked the key of ${key.name}.`);
  });
  body.append(trouble, panel("Create a key", {}, createForm(create), made), panel("All keys", {}, list));
  await show();
}

function createForm(create) {
  const name = h("input", { id: "key-name", type: "text", required: true, maxlength: 200, autocomplete: "off", placeholder: "Ada, or nightly build" });
  const role = h("select", { id: "key-role" }, ROLES.map(([text], number) => h("option", { value: String(number) }, text)));
  const life = h("select", { id: "key-life" }, LIVES.map(([text], number) => h("option", { value: String(number) }, text)));
  const submit = (event) => {
    event.preventDefault();
    create({ name: name.value.trim(), scopes: ROLES[role.value][1], expires_in_days: LIVES[life.value][1] });
    name.value = "";
  };
  const field = (text, control) => h("div", { class: "field" }, h("label", { class: "label", for: control.id }, text), control);
  return h(
    "form",
    { class: "form", on: { submit } },
    h("div", { class: "fields panel-part" }, field("For whom or what", name), field("It may", role), field("Valid for", life)),
    h("div", { class: "actions" }, h("button", { class: "button is-primary" }, "Create key")),
  );
}

function createdNotice(key) {
  return notice(
    "good",
    `The key for ${key.name}`,
    h("p", {}, "Copy it now: it is not stored and cannot be shown again."),
    copyField("Key", key.key),
    copyField("Link to this dashboard that signs in", `${location.origin}/#key=${key.key}`),
  );
}

function keyTable(keys, revoke) {
  const rows = keys.map((key) => [
    [key.name, h("span", { class: "sub" }, key.id)],
    key.scopes.join(", "),
    key.is_own ? "your own" : key.state,
    key.expires_at === null ? "never" : moment(key.expires_at),
    key.last_used_at === null ? "never" : timeAgo(key.last_used_at),
    (key.state === "valid" || key.state === "replaced") &&
      !key.is_own &&
      h("button", { type: "button", class: "button is-small is-danger", id: `revoke-${key.id}`, "aria-label": `Revoke the key of ${key.name}`, on: { click: () => revoke(key) } }, "Revoke"),
  ]);
  const columns = ["For", ["May", "not-narrow"], "State", ["Expires", "not-narrow"], ["Last used", "not-narrow"], ["Revoke", "end"]];
  return table("Keys of your tenant", columns, rows);
}
