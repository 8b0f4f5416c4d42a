// State derived from a job's events: stage start times and training records.

/** Ordered set of events, whatever order they arrive in. */
export class Story {
  #events = new Map();

  /** Add events; return those that are new. */
  add(events) {
    const news = events.filter((event) => !this.#events.has(event.number));
    for (const event of news) {
      this.#events.set(event.number, event);
    }
    return news;
  }

  /** All events, oldest first. */
  get events() {
    return [...this.#events.values()].sort((one, other) => one.number - other.number);
  }

  /** Start time of each stage of the latest attempt, in milliseconds. */
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
   * Records of every training run by name, each epoch once.
   *
   * An attempt that resumes after a crash repeats the epochs since its checkpoint.
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
