// What a worker computes on.

import { bytes } from "../format.js";

export function deviceText(worker) {
  return [worker.device, ...worker.gpus.map((gpu) => `${gpu.name}, ${bytes(gpu.memory_bytes)}`)].join("; ");
}
