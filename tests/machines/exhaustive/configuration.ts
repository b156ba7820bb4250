/** What a search explores: how much of everything there is, and who may say what. */

/** What may go wrong with a process; each time costs one of the faults. */
export type Fault =
  /** It dies, wherever it is. */
  | "die"
  /** It stands still: it may go on later, and the timers that measure patience may fire meanwhile. */
  | "hang"
  /** It runs out of memory, says so and dies. */
  | "outOfMemory"
  /** It writes what is no frame. */
  | "garbage"
  /** It says what can't be true. */
  | "lie"
  /** Frames of a process arrive after its exit. */
  | "ghost"
  /** It can't load the model. */
  | "loadFails";

/** What people and the scheduler may do at any time. */
export type Liberty =
  /** Requests come from a log that an earlier server left. */
  | "restore"
  /** Requests are stored before they are accepted; or can't be. */
  | "store"
  | "cancel"
  | "deadline"
  | "preempt"
  /** Requests are too large for any frame: their prompts, or what they are admitted with. */
  | "unsendable"
  /** The worker ends a text before its limit. */
  | "stopEarly"
  /** The worker refuses what it is admitted. */
  | "refuse"
  /** The server drains, shuts its requests down, stops its workers. */
  | "close";

export interface Configuration {
  readonly name: string;
  readonly workers: number;
  /** Of them, so many stand by until one that works is lost. */
  readonly spares: number;
  readonly requests: number;
  /** Faults in all, and which. */
  readonly faultsMax: number;
  readonly faults: readonly Fault[];
  readonly liberties: readonly Liberty[];
  /** Orders to restart a worker, in all: the first lets it end its work, the second doesn't. */
  readonly ordersMax: number;
  /** Tokens of every answer, 0 where the prompt alone is wanted; every prompt has one. */
  readonly tokensMax: number;
  /** Members of a batch. */
  readonly membersMax: number;
  /** `fifo`: frames wait on the wire, either way. `rendezvous`: see `wire.ts`. */
  readonly wire: "fifo" | "rendezvous";
  /** `any`: to every worker with room, at any time: see `liberties.ts`. `real`: as `Scheduler.plan` says. */
  readonly plan: "any" | "real";
  /** Frames of one worker that may come in one turn. */
  readonly framesPerTurnMax: 1 | 2;
  /** Whether preparing takes its time, or is done as soon as a process that doesn't stand still hears of it. */
  readonly prepare: boolean;
  /** Whether the first request kills every process that prepares it, or that runs it. */
  readonly poison: "nothing" | "prepare" | "run";
  /** Deaths without progress that open a worker's circuit. */
  readonly deathsWithoutProgressMax: number;
  /** False where someone is treated by name: poisonous requests, spare workers, priorities. */
  readonly symmetric: boolean;
}

const plain = {
  spares: 0,
  liberties: ["cancel"],
  ordersMax: 0,
  tokensMax: 2,
  membersMax: 2,
  wire: "rendezvous",
  plan: "any",
  framesPerTurnMax: 1,
  prepare: false,
  poison: "nothing",
  deathsWithoutProgressMax: 2,
  symmetric: true,
} as const;

const everyFault = ["die", "hang", "outOfMemory", "garbage", "lie", "loadFails"] as const;

/** One of everything, and everything that may be said. */
export const everything: Configuration = {
  ...plain,
  name: "1 worker × 1 request × 2 faults: all faults, all liberties, orders",
  workers: 1,
  requests: 1,
  faultsMax: 2,
  faults: [...everyFault, "ghost"],
  liberties: ["restore", "cancel", "deadline", "preempt", "stopEarly", "refuse", "close"],
  ordersMax: 2,
};

/** The same without the server's end: that has a search of its own, with a second request. */
export const almostEverything: Configuration = {
  ...everything,
  name: "1 worker × 1 request × 2 faults: all faults, orders, all liberties but the server's end",
  liberties: everything.liberties.filter((one) => one !== "close"),
};

export const closing: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 1 fault: the server's end, orders",
  workers: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die", "hang"],
  liberties: ["close"],
  ordersMax: 2,
};

/** What is stored outlives the server, and what can't be stored never began. */
export const stored: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 1 fault: stored before they are accepted, the server's end",
  workers: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die"],
  liberties: ["store", "restore", "cancel", "close"],
  tokensMax: 1,
};

/** Requests that no frame holds, beside one that is prepared or runs. */
export const tooLarge: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 1 fault: too large for a frame",
  workers: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die", "hang"],
  liberties: ["unsendable", "cancel"],
  tokensMax: 1,
  prepare: true,
};

/** Three retries without progress need three faults. */
export const retriesWithoutProgress: Configuration = {
  ...plain,
  name: "1 worker × 1 request × 3 faults: deaths until the request is to blame",
  workers: 1,
  requests: 1,
  faultsMax: 3,
  faults: ["die", "hang", "outOfMemory"],
  liberties: ["restore", "cancel", "preempt"],
  deathsWithoutProgressMax: 5,
};

/** Requests that share a turn, a batch, and a worker that falls over. */
export const together: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 2 faults: two frames a turn",
  workers: 1,
  requests: 2,
  faultsMax: 2,
  faults: ["die", "outOfMemory", "garbage", "lie"],
  framesPerTurnMax: 2,
};

/** As the scheduler plans, with requests of two classes, which a worker prepares. */
export const planned: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 1 fault: prepared by the worker, placed by the real plan",
  workers: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die", "hang", "lie", "loadFails"],
  liberties: ["cancel", "refuse"],
  membersMax: 1,
  plan: "real",
  prepare: true,
  deathsWithoutProgressMax: 1,
  symmetric: false,
};

/** Whoever prepares the first request dies of it; who else is there pays nothing. */
export const poisonedPreparation: Configuration = {
  ...plain,
  name: "1 worker × 3 requests: who prepares the first one dies",
  workers: 1,
  requests: 3,
  faultsMax: 0,
  faults: [],
  tokensMax: 1,
  prepare: true,
  poison: "prepare",
  deathsWithoutProgressMax: 1,
  symmetric: false,
};

export const poisonedAmongTwo: Configuration = {
  ...poisonedPreparation,
  name: "2 workers × 2 requests: who prepares the first one dies",
  workers: 2,
  requests: 2,
};

/** The poison and a death from outside, which nobody can tell apart. */
export const poisonedAndKilled: Configuration = {
  ...poisonedPreparation,
  name: "1 worker × 2 requests × 1 fault: who prepares the first one dies",
  requests: 2,
  faultsMax: 1,
  faults: ["die", "hang", "outOfMemory"],
  deathsWithoutProgressMax: 2,
};

/** Beside who is always being prepared it must come to its retries without progress all the same. */
export const poisonedRun: Configuration = {
  ...poisonedPreparation,
  name: "1 worker × 3 requests: who runs the first one dies, whoever is prepared beside it",
  liberties: [],
  poison: "run",
  deathsWithoutProgressMax: 9,
};

export const twoWorkers: Configuration = {
  ...plain,
  name: "2 workers × 2 requests × 1 fault",
  workers: 2,
  requests: 2,
  faultsMax: 1,
  faults: everyFault,
};

/** One works, the other takes its place. */
export const standby: Configuration = {
  ...plain,
  name: "1 worker and a spare × 2 requests × 1 fault",
  workers: 2,
  spares: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die", "hang", "outOfMemory"],
  tokensMax: 1,
  symmetric: false,
};

/** Of whom only the prompt is wanted: no token, and an end. */
export const promptsAlone: Configuration = {
  ...everything,
  name: "1 worker × 1 request × 3 faults: the prompt alone, all liberties but the server's end",
  liberties: almostEverything.liberties,
  faultsMax: 3,
  ordersMax: 0,
  tokensMax: 0,
};

/** Small enough for wires on which frames wait. */
export const onTheWire: Configuration = {
  ...plain,
  name: "1 worker × 2 requests × 1 fault, on a wire",
  workers: 1,
  requests: 2,
  faultsMax: 1,
  faults: ["die", "outOfMemory", "garbage"],
  tokensMax: 1,
  wire: "fifo",
  prepare: true,
  symmetric: false,
};

/** What `npm test` searches. */
export const quick: readonly Configuration[] = [
  almostEverything,
  closing,
  stored,
  tooLarge,
  retriesWithoutProgress,
  together,
  planned,
  poisonedPreparation,
  poisonedAmongTwo,
  poisonedAndKilled,
  poisonedRun,
  twoWorkers,
  standby,
  promptsAlone,
];

/** What `npm run search` does beside: minutes. */
export const large: readonly Configuration[] = [
  {
    ...poisonedPreparation,
    name: "2 workers × 3 requests: who prepares the first one dies, two frames a turn",
    workers: 2,
    framesPerTurnMax: 2,
  },
  {
    ...poisonedAndKilled,
    name: "2 workers × 2 requests × 1 fault: who prepares the first one dies",
    workers: 2,
  },
  {
    ...poisonedRun,
    name: "2 workers × 2 requests: who runs the first one dies",
    workers: 2,
    requests: 2,
  },
  { ...everything, name: `${everything.name}, two frames a turn`, framesPerTurnMax: 2 },
  {
    ...plain,
    name: "1 worker × 3 requests × 2 faults, with preemption",
    workers: 1,
    requests: 3,
    faultsMax: 2,
    faults: everyFault,
    liberties: ["cancel", "preempt"],
  },
  {
    ...plain,
    name: "2 workers × 2 requests × 2 faults",
    workers: 2,
    requests: 2,
    faultsMax: 2,
    faults: everyFault,
  },
];

/** Nobody has seen one of these come to its end: they are searched when they are asked for by name, and stopped. */
export const open: readonly Configuration[] = [
  {
    ...poisonedAndKilled,
    name: "2 workers × 3 requests × 1 fault: who prepares the first one dies",
    workers: 2,
    requests: 3,
    liberties: ["cancel", "preempt"],
  },
  {
    ...poisonedRun,
    name: "2 workers × 3 requests × 1 fault: who runs the first one dies",
    workers: 2,
    faultsMax: 1,
    faults: ["die"],
    liberties: ["cancel"],
  },
  {
    ...plain,
    name: "2 workers × 3 requests × 2 faults: deaths and standstills",
    workers: 2,
    requests: 3,
    faultsMax: 2,
    faults: ["die", "hang"],
  },
];
