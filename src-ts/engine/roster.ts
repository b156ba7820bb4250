/**
 * Which of a model's workers take work, and which stand by: loaded, warm and idle, until one that
 * works is lost or stands aside. Then a crash costs a prefill and no model load. Owns nothing else.
 */
import type { Supervisor } from "./supervisor.js";

export class Roster {
  constructor(
    private readonly workers: readonly Supervisor[],
    /** Workers of one model that take work at the same time. */
    private readonly onDutyMax: number,
  ) {}

  /** Called when a worker of this model has become available or unavailable; returns who begins. */
  review(modelId: string): Supervisor[] {
    const all = this.workers.filter((worker) => worker.model.id === modelId);
    for (const worker of all) if (!worker.available) worker.onDuty = false;
    const working = all.filter(({ onDuty }) => onDuty).length;
    const standing = all.filter(({ available, onDuty }) => available && !onDuty);
    const beginning = standing.slice(0, Math.max(0, this.onDutyMax - working));
    for (const worker of beginning) worker.onDuty = true;
    return beginning;
  }
}
