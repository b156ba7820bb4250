/**
 * The lanes of one socket: what is in one lane runs one after another, lanes run in parallel. A lane
 * exists while it has something to do. Everything without a name is in the default lane.
 */
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";

export interface Job {
  /** Starts it; `done` starts the next of its lane, in this or a later turn. */
  run(done: () => void): void;
  /** It will never run. */
  drop?(): void;
  /** It will never run, and whoever asked for it is to know. */
  refuse(reason: ServingError): void;
}

export interface LaneLimits {
  lanesPerSocketMax: number;
  queuedPerLaneMax: number;
  requestsPerSocketMax: number;
}

/** Jobs that wait behind the one that runs. */
type Lane = Job[];

const defaultLane = "";
/** The field that says which lane a message is in. */
const param = "stream_id";

export class LaneQueue {
  private readonly lanes = new Map<string, Lane>();
  private jobs = 0;

  constructor(
    private readonly limits: LaneLimits,
    /** A lane has nothing left to do. */
    private readonly onEmptied: () => void,
  ) {}

  get isEmpty(): boolean {
    return this.lanes.size === 0;
  }

  /** Throws when one of the limits is reached; the job is then not taken. */
  add(name: string | undefined, job: Job): void {
    const key = name ?? defaultLane;
    const waiting = this.lanes.get(key);
    this.check(key, waiting);
    this.jobs++;
    if (waiting !== undefined) waiting.push(job);
    else {
      this.lanes.set(key, []);
      this.run(key, job);
    }
  }

  /**
   * What waits in this lane never runs: the one before it has not ended, it was broken off, and their
   * events would be taken for the rest of its own. `reason` undefined: they needn't know.
   */
  abandon(name: string | undefined, reason?: ServingError): void {
    const waiting = this.lanes.get(name ?? defaultLane);
    if (waiting === undefined) return;
    this.jobs -= waiting.length;
    for (const job of waiting.splice(0)) {
      job.drop?.();
      if (reason !== undefined) job.refuse(reason);
    }
  }

  /** Forgets everything that waits. */
  drop(): void {
    for (const waiting of this.lanes.values()) for (const job of waiting) job.drop?.();
    this.lanes.clear();
  }

  private check(key: string, waiting: Lane | undefined): void {
    const { lanesPerSocketMax, queuedPerLaneMax, requestsPerSocketMax } = this.limits;
    const named = this.lanes.size - (this.lanes.has(defaultLane) ? 1 : 0);
    if (waiting === undefined && key !== defaultLane && named >= lanesPerSocketMax)
      throw failure("websocket_stream_limit_reached", { lanes: lanesPerSocketMax, param });
    if (waiting !== undefined && waiting.length >= queuedPerLaneMax)
      throw failure("lane_full", { queued: queuedPerLaneMax, param });
    if (this.jobs >= requestsPerSocketMax)
      throw failure("socket_full", { requests: requestsPerSocketMax, param });
  }

  private run(key: string, job: Job): void {
    let isDone = false;
    job.run(() => {
      if (isDone) return;
      isDone = true;
      this.next(key);
    });
  }

  private next(key: string): void {
    const waiting = this.lanes.get(key);
    if (waiting === undefined) return;
    this.jobs--;
    const job = waiting.shift();
    if (job !== undefined) {
      this.run(key, job);
      return;
    }
    this.lanes.delete(key);
    this.onEmptied();
  }
}
