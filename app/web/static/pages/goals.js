// Choice of a goal for a new job, with what each one costs.

import { read } from "../api.js";
import { h } from "../dom.js";
import { duration, plural } from "../format.js";

const OWN = "own";

/**
 * Return {node, name, show(name), estimate(inputs)}: one radio button for each goal, and one for
 * settings of the user's own. `name` is the chosen goal or null; `onChoose(goal)` is called when the
 * user chooses a goal, or with null.
 */
export function goalsPart(goals, { onChoose, signal }) {
  const cards = new Map(goals.map((goal) => [goal.name, goalCard(goal.name, goal.title, goal.description)]));
  cards.set(OWN, goalCard(OWN, "Own settings", "Everything under Advanced below."));
  const node = h(
    "fieldset",
    { class: "goals" },
    h("legend", { class: "label" }, "What do you want?"),
    [...cards.values()].map((card) => card.node),
  );
  node.addEventListener("change", (event) => {
    event.stopPropagation(); // the form listens to its own fields
    onChoose(goals.find((goal) => goal.name === event.target.value) ?? null);
  });
  let asked = 0;
  return {
    node,
    get name() {
      const chosen = [...cards].find(([, card]) => card.input.checked)?.[0] ?? OWN;
      return chosen === OWN ? null : chosen;
    },
    show: (name) => {
      cards.get(name ?? OWN).input.checked = true;
    },
    /** Show how long each goal takes with a model and a data set, and which of them need data. */
    estimate: async ({ model, dataset }) => {
      asked += 1;
      const own = asked;
      for (const goal of goals) {
        const needs = goal.needs_data && !dataset;
        cards.get(goal.name).input.disabled = needs;
        cards.get(goal.name).cost.textContent = needs ? "Needs a data set." : "";
      }
      if (!model) {
        return;
      }
      const data = dataset ? `&dataset=${encodeURIComponent(dataset)}` : "";
      const found = await read(`/v1/goals?model=${encodeURIComponent(model)}${data}`, { signal });
      if (own === asked) {
        found.data.filter((goal) => !cards.get(goal.name).input.disabled).forEach((goal) => {
          cards.get(goal.name).cost.textContent = costOf(goal, dataset);
        });
      }
    },
  };
}

function goalCard(value, title, text) {
  const input = h("input", { type: "radio", name: "goal", value, id: `goal-${value}`, "aria-describedby": `goal-${value}-text goal-${value}-cost` });
  const cost = h("span", { class: "goal-cost", id: `goal-${value}-cost` });
  const node = h(
    "div",
    { class: "goal" },
    input,
    h("label", { class: "label", for: input.id }, title),
    h("p", { class: "hint", id: `goal-${value}-text` }, text),
    cost,
  );
  return { node, input, cost };
}

function costOf(goal, dataset) {
  const trainings = dataset ? plural(goal.num_trainings, "training") : "no training";
  if (goal.seconds === null) {
    return `${trainings}, time unknown`;
  }
  return goal.basis === "jobs like it"
    ? `${trainings}, about ${duration(goal.seconds)}`
    : `${trainings}, very roughly ${duration(rounded(goal.seconds))}`;
}

/** Round a rough time: more digits would promise too much. */
function rounded(seconds) {
  const step = [[60, 10], [600, 60], [7200, 300]].find(([limit]) => seconds < limit)?.[1] ?? 1800;
  return Math.max(10, step * Math.round(seconds / step));
}
