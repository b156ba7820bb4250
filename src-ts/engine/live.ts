/**
 * What operators may see of requests that live or have just ended: states, times and counts, and no content.
 * Types only; `views.ts` and `timelines.ts` make them.
 */

/** `…AtMs`: wall-clock milliseconds. `state`: the request machine's. */
export interface RequestInfo {
  id: string;
  model: string;
  state: "preparing" | "storing" | "queued" | "prefilling" | "decoding" | "cancelling" | "done";
  /** Undefined while no worker holds it. */
  workerId: string | undefined;
  priority: string;
  arrivedAtMs: number;
  /** Undefined until it is accepted. */
  promptTokens: number | undefined;
  maxTokens: number | undefined;
  cachedTokens: number;
  /** Of the prompt, those that are computed; undefined but while prefilling. */
  prefill: { done: number; total: number } | undefined;
  emitted: number;
  /** How often a worker was given it; each but the first is a migration. */
  attempts: number;
  ttftMs: number | undefined;
}

/** What one worker runs together. */
export interface BatchInfo {
  workerId: string;
  /** The batch machine's state. */
  state: string;
  members: number;
  membersMax: number;
  /** Reserved for its members, and what it may reserve. */
  kvBytes: number;
  kvBytesMax: number;
}

/** `afterMs`: since the request arrived. */
export interface Transition {
  event:
    | "arrived"
    | "preparing"
    | "prepared"
    | "storing"
    | "accepted"
    | "queued"
    | "dispatched"
    | "prefilling"
    | "decoding"
    | "cancelling"
    | "migrated"
    | "interrupted"
    | "ended"
    | "turnedAway";
  afterMs: number;
  workerId?: string;
  promptTokens?: number;
  cachedTokens?: number;
  attempt?: number;
  reason?: string;
  finish?: string;
  code?: string;
}

export interface Timeline {
  id: string;
  model: string;
  priority: string;
  arrivedAtMs: number;
  /** It has not ended. */
  live: boolean;
  /** Tokens so far. */
  emitted: number;
  /** Transitions before the last one that there was no room for. */
  omitted: number;
  transitions: readonly Transition[];
}

/** All at one moment. */
export interface LiveView {
  requests: RequestInfo[];
  /** How many there are; `requests` may have been cut. */
  requestCount: number;
  batches: BatchInfo[];
  /** Ended last, the newest first. */
  ended: Timeline[];
}
