// Page of one job. The job resource is authoritative, and the event stream arrives sooner: every
// event that changes more than progress triggers a new read of the job.

import { announce } from "../announce.js";
import { read } from "../api.js";
import { pause } from "../connection.js";
import { h, fill, refill } from "../dom.js";
import { follow } from "../events.js";
import { duration, moment, words } from "../format.js";
import { noticeChange } from "../polling.js";
import { warningNotices } from "../parts/findings.js";
import { tagsOf } from "../parts/labels.js";
import { datasetLink, findDataset, findModel, findReport, modelLink, nameOf } from "../parts/names.js";
import { panel } from "../parts/panel.js";
import { notice, problemPanel } from "../parts/problem.js";
import { FINAL, badge, stateWord } from "../parts/status.js";
import { disclosure, facts } from "../parts/table.js";
import { jobActions } from "./actions.js";
import { deployPart } from "./deploy.js";
import { filesPart } from "./files.js";
import { layersParts } from "./layers.js";
import { logPart } from "./log.js";
import { int8Part } from "./int8.js";
import { beforeAndAfter, certificate, headline, verdictPart } from "./results.js";
import { STAGES } from "./stage_list.js";
import { stagesPart } from "./stages.js";
import { Story } from "./story.js";
import { trainingPart } from "./training.js";

const AT_ONCE = 500;
const KINDS = ["job", "stage", "metric", "warning", "webhook"].map((kind) => `&type=${kind}`).join("");
const RETRY_SECONDS = 3;

export async function jobPage(view) {
  const path = `/v1/jobs/${encodeURIComponent(view.params[0])}`;
  const job = await read(path, { signal: view.signal });
  const page = new JobPage(view, path, job);
  page.draw(job);
  page.setNames(job);
  const past = page.readPast().catch((error) => page.tell(error));
  const layers = page.hasLayers() ? page.readLayers() : null;
  if (!FINAL.has(job.status)) {
    await page.followLive(job.num_events);
  }
  await Promise.all([past, layers]);
}

class JobPage {
  #view;
  #path;
  #story = new Story();
  #job;
  #actions;
  #reading = false;
  #isStale = false;
  #layersAt = 0;
  #hasResult = false;
  #isNew = { actions: noticeChange(), messages: noticeChange(), about: noticeChange() };

  constructor(view, path, job) {
    this.#view = view;
    this.#path = path;
    this.#job = job;
    const body = view.begin("Job", { crumbs: [h("a", { href: "#/jobs" }, "Jobs")] });
    this.#actions = jobActions((news) => this.#changed(news), view.signal);
    this.stages = stagesPart();
    this.training = trainingPart(view.signal);
    this.log = logPart();
    this.trouble = h("div");
    this.state = h("div", { class: "actions" });
    this.messages = h("div", { class: "stack" });
    this.results = h("div", { class: "stack" });
    this.proof = h("div", { class: "stack" });
    this.layers = h("div", { class: "stack" });
    this.files = h("div", { class: "stack" });
    this.about = h("div");
    body.append(
      this.#actions.trouble,
      this.trouble,
      this.messages,
      this.results,
      panel("Progress", { actions: [this.state] }, this.stages.node),
      this.training.node,
      this.layers,
      this.proof,
      this.files,
      h("div", { class: "columns" }, this.log.node, this.about),
    );
  }

  /** Update the page from the job resource. */
  draw(job) {
    const before = this.#job;
    this.#job = job;
    fill(this.state, badge(job.status));
    if (this.#isNew.actions([job.status, job.result?.model, job.name, job.tags])) {
      refill(this.#view.actions, this.#actions.nodes(job));
    }
    if (this.#isNew.messages([job.status, job.error, job.warnings, job.findings])) {
      fill(this.messages, messagesOf(job));
    }
    if (this.#isNew.about([job.status, job.attempt])) {
      fill(this.about, aboutPanel(job, this.#view.signal));
    }
    this.#tick();
    if (job.status !== before.status) {
      announce(`The job is ${stateWord(job.status).toLowerCase()}.`);
    } else if (job.stage !== before.stage) {
      announce(`Stage ${job.stage}.`);
    }
    if (job.result !== null && !this.#hasResult) {
      this.#hasResult = true;
      this.#drawResult(job);
    }
  }

  /** Set the title and the lead to the names of the job's model and data set. */
  async setNames(job) {
    const [model, dataset] = await Promise.all([
      job.model && findModel(job.model, this.#view.signal),
      job.dataset && findDataset(job.dataset, this.#view.signal),
    ]);
    if (!this.#view.signal.aborted) {
      const what = model ? `Prune ${nameOf(model)}` : "Prune a model";
      const how = dataset ? `with ${dataset.name}` : "without data, so without retraining";
      this.#view.setTitle(job.name ?? what);
      this.#view.lead.hidden = false;
      fill(this.#view.lead, job.name === null ? how : `${what} ${how}`, tagsOf(job));
    }
  }

  #changed(job) {
    this.draw(job);
    this.setNames(job);
  }

  /** Read all past events except progress events. */
  async readPast() {
    let after = 0;
    for (;;) {
      const path = `${this.#path}/events?limit=${AT_ONCE}&after=${after}${KINDS}`;
      const events = await read(path, { signal: this.#view.signal });
      this.#take(events);
      if (events.length < AT_ONCE) {
        return;
      }
      after = events.at(-1).number;
    }
  }

  /** Return whether the selection of filters is complete. */
  hasLayers() {
    return STAGES.indexOf(this.#job.stage) > STAGES.indexOf("select");
  }

  /** Read and draw the layers. */
  async readLayers() {
    try {
      const { signal } = this.#view;
      const [found, report] = await Promise.all([
        read(`${this.#path}/layers`, { signal }),
        this.#job.model && findReport(this.#job.model, signal),
      ]);
      if (found.event > this.#layersAt) {
        this.#layersAt = found.event;
        fill(this.layers, layersParts(found, { selection: this.#job.resolved?.selection, report, signal }));
      }
    } catch (error) {
      this.tell(error);
    }
  }

  /** Follow new events until the job ends. */
  async followLive(after) {
    const { signal } = this.#view;
    const path = `${this.#path}/events`;
    for (let last = after; !signal.aborted; ) {
      last = await follow(path, last, (events) => this.#receive(events), signal);
      await this.#readRow();
      if (FINAL.has(this.#job.status)) {
        break;
      }
      await pause(RETRY_SECONDS, signal); // the service shut down and may restart
    }
    if (!signal.aborted) {
      await this.readPast();
    }
  }

  /** Show an error above the page's content. */
  tell(error) {
    if (error.name !== "AbortError") {
      fill(this.trouble, problemPanel(error));
    }
  }

  #receive(events) {
    const ticks = events.filter((event) => event.type === "progress");
    if (ticks.length > 0) {
      this.#job = { ...this.#job, progress: ticks.at(-1).data };
    }
    this.#take(events.filter((event) => event.type !== "progress" && event.type !== "plan"));
    if (events.some((event) => event.type === "plan")) {
      this.readLayers();
    }
    if (events.some((event) => /^(job|stage|warning)/.test(event.type))) {
      this.#readRow();
    } else {
      this.#tick();
    }
  }

  #take(events) {
    if (this.#story.add(events).length > 0) {
      this.log.update(this.#story.events);
      this.training.update(this.#story.runs, this.#job.result?.summary ?? null);
      this.#tick();
    }
  }

  #tick() {
    this.stages.update(this.#job, this.#story);
  }

  /** Read the job, and once more if an event arrived meanwhile. */
  async #readRow() {
    this.#isStale = true;
    if (this.#reading) {
      return;
    }
    this.#reading = true;
    try {
      while (this.#isStale && !this.#view.signal.aborted) {
        this.#isStale = false;
        this.draw(await read(this.#path, { signal: this.#view.signal }));
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        setTimeout(() => this.#readRow(), RETRY_SECONDS * 1000);
      }
    } finally {
      this.#reading = false;
    }
  }

  async #drawResult(job) {
    const { summary } = job.result;
    fill(this.results, verdictPart(job), headline(summary), beforeAndAfter(summary, job.warnings), int8Part(summary));
    fill(this.proof, certificate(summary));
    this.training.update(this.#story.runs, summary);
    try {
      const artifacts = await read(job.urls.artifacts, { signal: this.#view.signal });
      fill(this.files, deployPart(job, artifacts, this.#view.signal), filesPart(artifacts, this.#view.signal));
    } catch (error) {
      this.tell(error);
    }
  }
}

function messagesOf(job) {
  const found = [];
  if (job.error !== null) {
    const where = job.error.stage ? ` in the stage ${job.error.stage}` : "";
    found.push(
      notice(
        job.status === "cancelled" ? "idle" : "bad",
        `${stateWord(job.status)}${where}`,
        h("p", {}, job.error.message),
        job.error.hint && h("p", {}, job.error.hint),
        h("p", { class: "small quiet" }, `Code: ${job.error.code}`),
      ),
    );
  }
  return [...found, ...warningNotices(job.warnings, job.findings)];
}

function aboutPanel(job, signal) {
  const metadata = Object.entries(job.metadata);
  return panel(
    "About",
    {},
    facts([
      ["Goal", job.goal && words(job.goal)],
      ["Model", job.model && modelLink(job.model, signal)],
      ["Data set", job.dataset && datasetLink(job.dataset, signal)],
      ["Pruned model", job.result?.model && modelLink(job.result.model, signal)],
      ["Sweep", job.sweep && h("a", { href: `#/sweeps/${job.sweep}` }, "Open the sweep")],
      ["Posted", moment(job.created_at)],
      ["Started", job.started_at && moment(job.started_at)],
      ["Ended", job.finished_at && moment(job.finished_at)],
      ["Ran for", job.finished_at && duration(job.seconds_run)],
      ["Attempt", `${job.attempt} of ${job.max_attempts}`],
      ["Expires", job.expires_at && job.started_at === null ? moment(job.expires_at) : null],
      ["Id", h("code", {}, job.id)],
      ...metadata.map(([name, value]) => [words(name), value]),
    ]),
    disclosure("Config: as sent and resolved", () =>
      h(
        "div",
        { class: "stack" },
        [["As sent", job.config], ["Resolved, with all defaults", job.resolved]].map(([title, value]) =>
          h("div", {}, h("h3", {}, title), h("pre", { class: "code", tabindex: "0" }, JSON.stringify(value, null, 2))),
        ),
      ),
    ),
  );
}
