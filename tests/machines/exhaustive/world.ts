/**
 * What surrounds the orchestrator: processes, wires, timers, the server, and the books that an outsider keeps
 * of each request and worker from the commands alone. Plain data, never changed in place. Knows no transition.
 */
import type * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";

/** One dispatch, as the keeper of content knows it. */
export interface Slot {
  readonly id: number;
  readonly worker: number;
  readonly submitted: boolean;
  readonly abortSent: boolean;
  /** Arrived in this turn, in no log yet: which token each one said it was. */
  readonly tokens: readonly number[];
  /** How far its request had got when it began. */
  readonly furthestAtStart: number;
  /** Its worker was lost: whether that is to blame on somebody, and whether somebody was prepared there. */
  readonly lost: { readonly charged: boolean; readonly beside: boolean } | null;
}

/** What of a request no frame can hold. */
export type Unsendable = "nothing" | "prompt" | "admission";

/** What is known of a request from outside. */
export interface RequestPart {
  readonly unsendable: Unsendable;
  readonly slot: Slot | null;
  /** Where it is being prepared. */
  readonly preparing: { readonly id: number; readonly worker: number } | null;
  /** It is to be on disk before anybody hears of it; it is being written; that was begun. */
  readonly survives: boolean;
  readonly storing: boolean;
  readonly isStored: boolean;
  /** Workers lost while they prepared it. */
  readonly deaths: number;
  /** Tokens in its log. */
  readonly logged: number;
  readonly accepted: boolean;
  readonly closed: boolean;
  /** It goes on in another server process. */
  readonly interrupted: boolean;
  /** Why it was closed: for the loss of its worker. */
  readonly gaveUp: boolean;
  /** What the law of retries without progress counts by itself. */
  readonly furthest: number;
  readonly retries: number;
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
  /** Of the incarnation that was launched last. */
  readonly epoch: number;
  readonly windowArmed: boolean;
  readonly timers: readonly Worker.Timer[];
  /** Prompts that it was sent and has not answered. */
  readonly preparing: readonly number[];
  /** Whether this incarnation was ever ready, and has been lost. */
  readonly wasReady: boolean;
  readonly lost: boolean;
  /** What it may hold since it ran out of memory at that time; null: it never did. */
  readonly reduced: { readonly members: number; readonly at: number } | null;
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
  /** Monotonic milliseconds. */
  readonly now: number;
}

/** The slot that nobody knows any more. */
export const goneSlot = 0;
export const promptTokens = 1;

export const newRequest: RequestPart = {
  unsendable: "nothing",
  slot: null,
  preparing: null,
  survives: false,
  storing: false,
  isStored: false,
  deaths: 0,
  logged: 0,
  accepted: false,
  closed: false,
  interrupted: false,
  gaveUp: false,
  furthest: 0,
  retries: 0,
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

const newWorker: WorkerPart = {
  epoch: 0,
  windowArmed: false,
  timers: [],
  preparing: [],
  wasReady: false,
  lost: false,
  reduced: null,
  process: null,
  ghost: false,
};

export const requestName = (request: number): string => `r${request}`;
export const requestOf = (name: string): number => Number(name.slice(1));
export const workerName = (worker: number): string => `w${worker}`;
export const workerOf = (name: string): number => Number(name.slice(1));

/** Nothing is submitted, no worker started. */
export function emptyWorld(configuration: Configuration): World {
  const { workers, requests, faultsMax, ordersMax } = configuration;
  return {
    requests: Array.from({ length: requests }, () => null),
    workers: Array.from({ length: workers }, () => newWorker),
    server: { phase: "open", faultsLeft: faultsMax, ordersLeft: ordersMax, kills: 0 },
    now: 0,
  };
}

type Requests = Pick<World, "requests">;

/** Requests with a slot there. */
export const slotsOf = ({ requests }: Requests, worker: number): number[] =>
  [...requests.keys()].filter((one) => requests[one]?.slot?.worker === worker);
