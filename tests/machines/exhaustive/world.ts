/**
 * A state of everything: requests, workers with their processes, the server. Plain data, never
 * changed in place, so that equal parts are one part. Knows no transition.
 */
import * as Batch from "../../../src-ts/machines/Batch.js";
import * as Request from "../../../src-ts/machines/Request.js";
import * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";

/** One dispatch, as the loop knows it. */
export interface Slot {
  readonly id: number;
  readonly worker: number;
  readonly lease: Request.Lease;
  readonly submitted: boolean;
  readonly abortSent: boolean;
  /** Arrived in this turn and not numbered yet: which token each one said it was. */
  readonly tokens: readonly number[];
}

export interface RequestPart {
  readonly state: Request.State;
  readonly queued: boolean;
  readonly slot: Slot | null;
  /** Where it is being prepared; `alone`: as a suspect. */
  readonly preparing: {
    readonly id: number;
    readonly worker: number;
    readonly alone: boolean;
  } | null;
  /** It waits for a worker that prepares it alone. */
  readonly suspect: boolean;
  /** Workers lost while they prepared it, counted apart from its machine. */
  readonly deaths: number;
  /** No worker can prepare it now. */
  readonly waiting: boolean;
  /** Tokens in its log. */
  readonly logged: number;
  readonly accepted: boolean;
  readonly closed: boolean;
  /** What the law of strikes counts by itself. */
  readonly furthest: number;
  readonly furthestAtStart: number;
  readonly fruitless: number;
  readonly doubts: number;
}

/** A request in a process; `deadly`: it ends with the process's death and not otherwise. */
export interface Held {
  readonly id: number;
  readonly deadly: boolean;
  readonly next: number;
  readonly prefilled: boolean;
  readonly aborting: boolean;
}

export type Down =
  | { readonly type: "load" | "stop" }
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "prepare"; readonly id: number; readonly deadly: boolean }
  | {
      readonly type: "admit";
      readonly id: number;
      readonly emitted: number;
      readonly deadly: boolean;
    };

export type Up =
  | { readonly type: "hello" | "ready" | "loadFailed" | "outOfMemory" | "garbage" }
  | {
      readonly type: "prepared" | "unpreparable" | "ended" | "aborted" | "refused";
      readonly id: number;
    }
  | { readonly type: "prefill"; readonly id: number; readonly done: number; readonly total: number }
  | { readonly type: "token"; readonly id: number; readonly index: number };

export interface Preparing {
  readonly id: number;
  readonly deadly: boolean;
}

export interface Process {
  readonly stage: "launched" | "silent" | "greeted" | "loading" | "up" | "dead";
  readonly hung: boolean;
  readonly askedToStop: boolean;
  readonly killed: boolean;
  readonly linkClosed: boolean;
  readonly held: readonly Held[];
  readonly preparing: readonly Preparing[];
  readonly down: readonly Down[];
  readonly up: readonly Up[];
}

export interface WorkerPart {
  readonly state: Worker.State;
  /** It could take new work, and it shall; the others stand by. */
  readonly available: boolean;
  readonly onDuty: boolean;
  /** Members that its next batches may have, since it ran out of memory with more; 0: no limit. */
  readonly squeezedTo: number;
  /** What the machine was last told that it holds. */
  readonly pending: number;
  readonly pendingPreparing: number;
  /** What it prepares for requests that have ended meanwhile. */
  readonly orphans: number;
  /** It is with a suspect. */
  readonly trying: boolean;
  /** The last that it said about itself was that it ran out of memory. */
  readonly outOfMemory: boolean;
  readonly batch: Batch.State | null;
  readonly windowArmed: boolean;
  readonly timers: readonly Worker.Timer[];
  /** Whether this incarnation was ever ready, and has been lost. */
  readonly wasReady: boolean;
  readonly lost: boolean;
  readonly process: Process | null;
  /** Frames of an incarnation that has gone are still to come. */
  readonly ghost: boolean;
}

export interface ServerPart {
  readonly phase: "open" | "draining" | "shutDown" | "closed";
  readonly faultsLeft: number;
  readonly ordersLeft: number;
  /** Processes that the poisonous request has killed. */
  readonly kills: number;
}

export interface World {
  /** Null: not submitted yet. */
  readonly requests: readonly (RequestPart | null)[];
  readonly workers: readonly WorkerPart[];
  readonly server: ServerPart;
}

/** The slot that nobody knows any more. */
export const goneSlot = 0;
export const promptTokens = 1;

export const newRequest: RequestPart = {
  state: Request.initial,
  queued: false,
  slot: null,
  preparing: null,
  suspect: false,
  deaths: 0,
  waiting: false,
  logged: 0,
  accepted: false,
  closed: false,
  furthest: 0,
  furthestAtStart: 0,
  fruitless: 0,
  doubts: 0,
};

export const newProcess: Process = {
  stage: "launched",
  hung: false,
  askedToStop: false,
  killed: false,
  linkClosed: false,
  held: [],
  preparing: [],
  down: [],
  up: [],
};

export const requestName = (request: number): string => `r${request}`;
export const requestOf = (name: string): number => Number(name.slice(1));
export const workerName = (worker: number): string => `w${worker}`;
export const workerOf = (name: string): number => Number(name.slice(1));

/** Nothing is submitted, no worker started. */
export function emptyWorld(configuration: Configuration): World {
  const { workers, requests, faultsMax, ordersMax, deathsWithoutProgressMax } = configuration;
  const policy = { ...Worker.defaultPolicy, deathsWithoutProgressMax };
  const worker: WorkerPart = {
    state: Worker.initial(policy),
    available: false,
    onDuty: false,
    squeezedTo: 0,
    pending: 0,
    pendingPreparing: 0,
    orphans: 0,
    trying: false,
    outOfMemory: false,
    batch: null,
    windowArmed: false,
    timers: [],
    wasReady: false,
    lost: false,
    process: null,
    ghost: false,
  };
  return {
    requests: Array.from({ length: requests }, () => null),
    workers: Array.from({ length: workers }, () => worker),
    server: { phase: "open", faultsLeft: faultsMax, ordersLeft: ordersMax, kills: 0 },
  };
}

/** What the batch of this worker may hold: so little that prompts wait for one another. */
export function termsOf({ membersMax }: Configuration, { squeezedTo }: WorkerPart): Batch.Terms {
  const members = squeezedTo === 0 ? membersMax : squeezedTo;
  const budget = { members, kvBytes: membersMax, prefillTokens: 1 };
  return { key: "m", budget, windowMs: 1 };
}

export function costOf({ tokensMax }: Configuration, { logged }: RequestPart): Batch.Cost {
  return { promptTokens: promptTokens + logged, newTokens: tokensMax - logged, kvBytes: 1 };
}

/** Takes new work. */
export const accepts = ({ available, onDuty, trying }: WorkerPart): boolean =>
  available && onDuty && !trying;

/** It must run with nobody beside it. */
export const isSuspect = ({ state }: RequestPart): boolean => "tally" in state && state.tally.alone;

type Requests = Pick<World, "requests">;

/** Requests with a slot there. */
export const slotsOf = ({ requests }: Requests, worker: number): number[] =>
  [...requests.keys()].filter((one) => requests[one]?.slot?.worker === worker);

/** Requests that are being prepared there. */
export const preparedBy = ({ requests }: Requests, worker: number): number[] =>
  [...requests.keys()].filter((one) => requests[one]?.preparing?.worker === worker);

export const members = (batch: Batch.State | null): Batch.Member[] =>
  batch === null ? [] : Batch.members(batch);
