/** Mistakes that a search must find: in the glue something left out, in a machine a wrong answer. */
import type * as Batch from "../../../src-ts/machines/Batch.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import {
  type Configuration,
  everything,
  poisonedPreparation,
  poisonedRun,
  promptsAlone,
  together,
  twoWorkers,
} from "./configuration.js";
import { type Machinery, machinery, type Omission } from "./draft.js";

export interface Mutation {
  readonly name: string;
  readonly configuration: Configuration;
  readonly machinery: Machinery;
  /** What the broken law says. */
  readonly caught: RegExp;
}

const small: Configuration = { ...together, framesPerTurnMax: 1, faultsMax: 1, faults: ["die"] };
const preempting: Configuration = { ...small, liberties: ["preempt"] };

const omitting = (
  omits: Omission,
  caught: RegExp,
  configuration: Configuration = small,
): Mutation => ({
  name: `without the ${omits}`,
  configuration,
  machinery: { ...machinery, omits },
  caught,
});

const answering = (
  name: string,
  wrong: Partial<Machinery>,
  caught: RegExp,
  configuration: Configuration = small,
): Mutation => ({ name, configuration, machinery: { ...machinery, ...wrong }, caught });

const request =
  (wrong: (next: Accepted<Request.Outcome>, event: Request.Event) => Accepted<Request.Outcome>) =>
  (state: Request.State, event: Request.Event): Request.Outcome => {
    const outcome = machinery.request(state, event);
    return outcome.ok ? wrong(outcome, event) : outcome;
  };

type Accepted<O> = Extract<O, { ok: true }>;

function forgiven(next: Accepted<Request.Outcome>): Accepted<Request.Outcome> {
  const { state } = next;
  if (state.kind !== "queued") return next;
  return { ...next, state: { ...state, tally: { ...state.tally, strikes: 0 } } };
}

function renumbered(next: Accepted<Request.Outcome>): Accepted<Request.Outcome> {
  const effects = next.effects.map((effect) =>
    effect.kind === "emit" ? { ...effect, index: effect.index + 1 } : effect,
  );
  return { ...next, effects };
}

function without(kind: Request.Effect["kind"]) {
  return request((next) => ({ ...next, effects: next.effects.filter((one) => one.kind !== kind) }));
}

function twiceClosed(next: Accepted<Request.Outcome>): Accepted<Request.Outcome> {
  const closes = next.effects.filter(({ kind }) => kind === "close");
  return { ...next, effects: [...next.effects, ...closes] };
}

const neverExclusive = (state: Batch.State, event: Batch.Event): Batch.Outcome =>
  machinery.batch(state, event.kind === "join" ? { ...event, exclusive: false } : event);

function dropping(kind: Worker.Effect["kind"]): Machinery["worker"] {
  return (state, event) => {
    const outcome = machinery.worker(state, event);
    if (!outcome.ok) return outcome;
    return { ...outcome, effects: outcome.effects.filter((one) => one.kind !== kind) };
  };
}

/** An exit is not waited for: the next process comes while one lives. */
const impatient: Machinery["worker"] = (state, event) => {
  const outcome = machinery.worker(state, event);
  if (!outcome.ok || outcome.state.kind !== "stopping") return outcome;
  const { memory } = outcome.state;
  const next = { ...memory, epoch: memory.epoch + 1 };
  const owed = outcome.effects.filter(({ kind }) => kind === "unavailable" || kind === "lose");
  const effects = [...owed, { kind: "spawn", epoch: next.epoch } as const];
  return { ok: true, state: { kind: "starting", memory: next, pid: 0 }, effects };
};

/** Preparing somebody is no excuse. */
const unforgiving: Machinery["worker"] = (state, event) =>
  event.kind === "exited" && "duty" in state
    ? machinery.worker({ ...state, duty: { ...state.duty, preparing: 0 } }, event)
    : machinery.worker(state, event);

/** Who is prepared beside it is no excuse. */
const undoubting: Machinery["request"] = (state, event) =>
  machinery.request(state, event.kind === "lost" ? { ...event, preparing: false } : event);

/** Nobody is ever struck while somebody is prepared, and nobody gets to run alone for it. */
const credulous: Machinery["request"] = (state, event) => {
  const outcome = machinery.request(state, event);
  if (!outcome.ok || event.kind !== "lost" || outcome.state.kind !== "queued") return outcome;
  const tally = { ...outcome.state.tally, doubts: 0 };
  return { ...outcome, state: { ...outcome.state, tally } };
};

/** A death over a preparation is nobody's. */
const unbounded: Machinery["request"] = (state, event) =>
  event.kind === "preparerLost" && state.kind === "preparing"
    ? { ok: true, state, effects: [{ kind: "prepare", alone: false }] }
    : machinery.request(state, event);

export const mutations: readonly Mutation[] = [
  omitting("epoch check", /illegal, and honest/, {
    ...everything,
    liberties: [],
    ordersMax: 0,
    framesPerTurnMax: 1,
    faults: ["die", "ghost"],
  }),
  omitting("release", /a slot exactly while it has a lease/),
  omitting("abort", /the abort of r\d reached its process/),
  omitting("recount", /knows what it holds/),
  omitting("window timer", /window is armed while it is open/),
  omitting("watchdog", /brings every request to its end/, { ...small, faults: ["hang"] }),
  omitting("right index", /hears tokens .*illegal, and honest/),
  omitting("index of the preempted", /the log gets the tokens it says/, {
    ...preempting,
    faults: ["lie"],
  }),
  omitting("tokens of one event", /the log gets the tokens it says/, {
    ...small,
    framesPerTurnMax: 2,
    faults: ["lie"],
  }),
  omitting("limit of tokens", /no token too many|lied and is not condemned/, {
    ...promptsAlone,
    faultsMax: 1,
    faults: ["lie"],
  }),
  omitting("right culprit", /pays for another's lie/, { ...twoWorkers, faults: ["lie"] }),
  omitting("trial", /fails for what it did not do/, poisonedPreparation),
  omitting("orphan", /prepares what the loop thinks it does/, poisonedPreparation),
  omitting("reserve", /prepares nobody beside who must run alone/, poisonedRun),
  omitting("room of a suspect", /prepares nobody beside who must run alone/, poisonedRun),
  answering(
    "a preparation that may kill for ever",
    { request: unbounded },
    /counts the deaths over its preparation/,
    poisonedPreparation,
  ),
  answering(
    "a worker that pays for what it prepared",
    { worker: unforgiving },
    /pays for what it prepared/,
    poisonedPreparation,
  ),
  answering(
    "a strike for who ran beside it",
    { request: undoubting },
    /counts its strikes/,
    poisonedPreparation,
  ),
  answering("a doubt that leads nowhere", { request: credulous }, /counts its doubts/, poisonedRun),
  answering("strikes that are not counted", { request: request(forgiven) }, /counts its strikes/),
  answering("a token that is renumbered", { request: request(renumbered) }, /without gaps/),
  answering("an end that comes twice", { request: request(twiceClosed) }, /comes after close/),
  answering(
    "an end that never comes",
    { request: without("close") },
    /closed exactly if it is done/,
  ),
  answering(
    "a loss without its place in the queue",
    { request: without("requeue") },
    /in the queue/,
  ),
  answering("a suspect that shares its batch", { batch: neverExclusive }, /must run alone/, {
    ...small,
    faultsMax: 2,
    deathsWithoutProgressMax: 5,
  }),
  answering("a worker that is lost in silence", { worker: dropping("lose") }, /lost exactly once/),
  answering("a kill that is not sent", { worker: dropping("kill") }, /brings every request/, {
    ...small,
    faults: ["hang"],
  }),
  answering("a process beside its successor", { worker: impatient }, /one live process/, {
    ...small,
    faults: ["garbage"],
  }),
];
