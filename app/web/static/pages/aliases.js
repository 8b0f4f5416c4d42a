// Panel of a model's page: which versions its name's aliases serve, with switch and rollback.

import { announce } from "../announce.js";
import { post, read, send } from "../api.js";
import { h, fill, refill } from "../dom.js";
import { percent } from "../format.js";
import { panel } from "../parts/panel.js";
import { loading, notice, problemPanel } from "../parts/problem.js";
import { table } from "../parts/table.js";
import { timeAgo } from "../parts/time.js";

const PATTERN = "[A-Za-z][A-Za-z0-9._\\-]{0,62}";
const CHANGED = "The alias was changed by someone else meanwhile. Its new state is shown now.";

/** Return the panel of a ready model. */
export function aliasesPanel(model, signal) {
  const path = `/v1/models/${encodeURIComponent(model.name)}/aliases`;
  const list = h("div", {}, loading("Loading aliases …"));
  const trouble = h("div");
  const say = (error) => error.name !== "AbortError" && fill(trouble, problemPanel(error, { title: "The alias was not changed" }));
  const tried = (act) => async (...values) => {
    fill(trouble);
    try {
      await act(...values);
    } catch (error) {
      say(error);
    }
    await show().catch(say);
  };
  const create = tried(async (name) => {
    await put(`${path}/${name}`, model, { "If-None-Match": "*" }, signal);
    announce(`Created ${name}.`);
  });
  const change = tried(async (alias, act) => {
    const response = await send(`${path}/${alias.alias}`, { signal });
    if ((await response.json()).updated_at !== alias.updated_at) {
      fill(trouble, notice("warn", CHANGED));
      return;
    }
    const headers = { "If-Match": response.headers.get("ETag") };
    if (act === "rollback") {
      await post(`${path}/${alias.alias}/rollback`, undefined, { headers, signal });
    } else {
      await put(`${path}/${alias.alias}`, model, headers, signal);
    }
    announce(`Switched ${alias.alias}.`);
  });
  const show = async () => {
    const found = await read(path, { signal });
    refill(list, found.data.length > 0 && aliasTable(found.data, model, change), newAlias(found.data, create));
  };
  show().catch(say);
  return panel(
    "Aliases",
    { note: `Clients that ask for ${model.name}@production get the version that the alias serves.` },
    trouble,
    list,
  );
}

function put(path, model, headers, signal) {
  const body = JSON.stringify({ targets: [{ version: model.version }] });
  return send(path, { method: "PUT", body, headers: { "Content-Type": "application/json", ...headers }, signal });
}

function aliasTable(aliases, model, change) {
  const rows = aliases.map((alias) => {
    const isHere = alias.targets.length === 1 && alias.targets[0].version === model.version;
    const before = alias.history[0]?.targets;
    const button = (text, act) => h("button", { type: "button", class: "button is-small", on: { click: () => change(alias, act) } }, text);
    return [
      h("code", {}, alias.alias),
      targetsText(alias.targets),
      timeAgo(alias.updated_at),
      h(
        "div",
        { class: "actions" },
        !isHere && button(`Serve version ${model.version}`, "put"),
        before && button(`Roll back to ${targetsText(before).toLowerCase()}`, "rollback"),
      ),
    ];
  });
  return table("Aliases and the versions that they serve", ["Alias", "Serves", ["Since", "not-narrow"], ["Change", "end"]], rows);
}

function targetsText(targets) {
  const total = targets.reduce((sum, target) => sum + target.weight, 0);
  return targets.length === 1
    ? `Version ${targets[0].version}`
    : targets.map((target) => `Version ${target.version} (${percent(target.weight / total, 0)})`).join(", ");
}

function newAlias(aliases, create) {
  const isFirst = !aliases.some((alias) => alias.alias === "production");
  const input = h("input", { id: "new-alias", pattern: PATTERN, required: true, maxlength: "63", value: isFirst ? "production" : "", autocomplete: "off" });
  const submit = (event) => {
    event.preventDefault();
    create(input.value);
  };
  return h(
    "form",
    { class: "field is-inline", on: { submit } },
    h("label", { class: "label", for: "new-alias" }, "New alias"),
    input,
    h("button", { class: "button" }, "Create"),
  );
}
