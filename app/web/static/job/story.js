// What a job's events add up to: how its stages went and what its training showed.

/** Events in their order, each once, however they came. */
export class Story {
  #events = new Map();

  /** Take events; returns those that were not known. */
  add(events) {
    const news = events.filter((event) => !this.#events.has(event.number));
    for (const event of news) {
      this.#events.set(event.number, event);
    }
    return news;
  }

  /** All that were taken, oldest first. */
  get events() {
    return [...this.#events.values()].sort((one, other) => one.number - other.number);
  }

  /** When each stage of the newest attempt began, in milliseconds. */
  get stages() {
    const began = new Map();
    for (const event of this.events) {
      if (event.type === "job.running") {
        began.clear();
      } else if (event.type === "stage.started") {
        began.set(event.data.stage, Date.parse(event.created_at));
      }
    }
    return began;
  }

  /**
   * The records of every run of training, by its name, each epoch once.
   *
   * An attempt that goes on after a crash repeats the epochs since its checkpoint.
   */
  get runs() {
    const runs = new Map();
    for (const { type, data } of this.events) {
      if (type !== "metric" || data.kind !== "epoch") {
        continue;
      }
      const name = data.run ?? "";
      const before = (runs.get(name) ?? []).filter((record) => record.epoch < data.epoch);
      runs.set(name, [...before, data]);
    }
    return runs;
  }
}
