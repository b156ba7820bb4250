import { describe, expect, it } from "vitest";
import type {
  Cause,
  Effect,
  Event,
  Finish,
  Lease,
  Loss,
  State,
  Tally,
} from "../../src-ts/machines/Request.js";
import {
  initial,
  initialStored,
  preparationDeathsMax,
  retriesBeforeAlone,
  retriesMax,
  transition,
} from "../../src-ts/machines/Request.js";
import { accepted } from "./support.js";

const lease: Lease = { workerId: "w", epoch: 1 };
const tally = (more: Partial<Tally> = {}): Tally => ({
  promptTokens: 8,
  emitted: 0,
  highWater: 0,
  retriesWithoutProgress: 0,
  doubts: 0,
  alone: false,
  ...more,
});
const queued = (more: Partial<Tally> = {}, epoch = 0): State => ({
  kind: "queued",
  epoch,
  tally: tally(more),
});
const prefilling = (done = 0, more: Partial<Tally> = {}): State => ({
  kind: "prefilling",
  lease,
  tally: tally(more),
  highWaterAtStart: 0,
  done,
  total: 8,
});
const decoding = (emitted: number, more: Partial<Tally> = {}, highWaterAtStart = 0): State => ({
  kind: "decoding",
  lease,
  tally: tally({ emitted, highWater: 8 + emitted, ...more }),
  highWaterAtStart,
});
const cancelling = (cause: Cause, emitted = 2): State => ({
  kind: "cancelling",
  lease,
  tally: tally({ emitted, highWater: 8 + emitted }),
  highWaterAtStart: 0,
  cause,
});
const storing: State = { kind: "storing", promptTokens: 8 };
const done = (finish: Finish, emitted = 0): State => ({ kind: "done", finish, emitted });
const failed = (code: Extract<Finish, { kind: "failed" }>["code"]): Finish => ({
  kind: "failed",
  code,
});
const cancelled: Finish = { kind: "cancelled" };
const expired: Finish = { kind: "expired" };
const stop: Finish = { kind: "stop" };

const close = (finish: Finish): Effect => ({ kind: "close", finish });
const abort: Effect = { kind: "abort", lease };
const requeue: Effect = { kind: "requeue" };
const migrated = (loss: Loss): Effect => ({ kind: "migrated", attempt: 1, loss });

type Row = [name: string, from: State, event: Event, to: State, effects: Effect[]];

const moves: Row[] = [
  [
    "a prepared prompt is accepted",
    initial,
    { kind: "prepared", promptTokens: 8 },
    queued(),
    [{ kind: "accept" }],
  ],
  [
    "a prompt that cannot be prepared fails with its reason",
    initial,
    { kind: "unpreparable", code: "invalid_prompt" },
    done(failed("invalid_prompt")),
    [close(failed("invalid_prompt"))],
  ],
  [
    "a worker lost over its preparation makes it a suspect, to be prepared alone",
    initial,
    { kind: "preparerLost", loss: "exited" },
    { kind: "preparing", deaths: 1, stored: false },
    [{ kind: "prepare", alone: true }],
  ],
  [
    "the second one, alone, fails it",
    { kind: "preparing", deaths: preparationDeathsMax - 1, stored: false },
    { kind: "preparerLost", loss: "stalled" },
    done(failed("worker_crashed")),
    [close(failed("worker_crashed"))],
  ],
  [
    "for want of memory it says so",
    { kind: "preparing", deaths: preparationDeathsMax - 1, stored: false },
    { kind: "preparerLost", loss: "outOfMemory" },
    done(failed("out_of_memory")),
    [close(failed("out_of_memory"))],
  ],
  [
    "a stop that we ordered makes nobody a suspect",
    initial,
    { kind: "preparerLost", loss: "stopped" },
    initial,
    [{ kind: "prepare", alone: false }],
  ],
  [
    "nor does it acquit one",
    { kind: "preparing", deaths: 1, stored: false },
    { kind: "preparerLost", loss: "stopped" },
    { kind: "preparing", deaths: 1, stored: false },
    [{ kind: "prepare", alone: true }],
  ],
  [
    "a suspect that is prepared is as good as any other",
    { kind: "preparing", deaths: 1, stored: false },
    { kind: "prepared", promptTokens: 8 },
    queued(),
    [{ kind: "accept" }],
  ],
  [
    "what an earlier server process accepted waits with its tokens, unstruck",
    initial,
    { kind: "restored", promptTokens: 8, emitted: 3 },
    queued({ emitted: 3, highWater: 11 }),
    [requeue],
  ],
  [
    "what is to be stored is written before anybody hears of it",
    initialStored,
    { kind: "prepared", promptTokens: 8 },
    storing,
    [{ kind: "store" }],
  ],
  [
    "a suspect that is to be stored stays so",
    initialStored,
    { kind: "preparerLost", loss: "exited" },
    { kind: "preparing", deaths: 1, stored: true },
    [{ kind: "prepare", alone: true }],
  ],
  ["what is stored is accepted", storing, { kind: "stored" }, queued(), [{ kind: "accept" }]],
  [
    "cancel while storing leaves nothing behind",
    storing,
    { kind: "cancel" },
    done(cancelled),
    [close(cancelled)],
  ],
  ["deadline while storing", storing, { kind: "deadline" }, done(expired), [close(expired)]],
  [
    "shutdown while storing: nobody has heard of it",
    storing,
    { kind: "shutdown" },
    done(failed("server_shutdown")),
    [close(failed("server_shutdown"))],
  ],
  [
    "what can't be stored though it must be is refused",
    storing,
    { kind: "unstorable" },
    done(failed("storage_unavailable")),
    [close(failed("storage_unavailable"))],
  ],
  ["cancel while preparing", initial, { kind: "cancel" }, done(cancelled), [close(cancelled)]],
  ["deadline while preparing", initial, { kind: "deadline" }, done(expired), [close(expired)]],
  [
    "shutdown while preparing",
    initial,
    { kind: "shutdown" },
    done(failed("server_shutdown")),
    [close(failed("server_shutdown"))],
  ],
  [
    "cancel while queued keeps count of what is out",
    queued({ emitted: 3, highWater: 11 }),
    { kind: "cancel" },
    done(cancelled, 3),
    [close(cancelled)],
  ],
  ["deadline while queued", queued(), { kind: "deadline" }, done(expired), [close(expired)]],
  [
    "shutdown while queued",
    queued(),
    { kind: "shutdown" },
    done(failed("server_shutdown")),
    [close(failed("server_shutdown"))],
  ],
  [
    "what no worker could ever hold fails",
    queued(),
    { kind: "unplaceable", code: "memory_budget_exceeded" },
    done(failed("memory_budget_exceeded")),
    [close(failed("memory_budget_exceeded"))],
  ],
  [
    "dispatch takes the next epoch",
    queued(),
    { kind: "dispatch", workerId: "w" },
    prefilling(),
    [{ kind: "start", lease, resumeAt: 0, alone: false }],
  ],
  [
    "a dispatch with tokens out resumes after them, alone if it must",
    queued({ emitted: 3, highWater: 11, retriesWithoutProgress: 2, alone: true }),
    { kind: "dispatch", workerId: "w" },
    {
      kind: "prefilling",
      lease,
      tally: tally({ emitted: 3, highWater: 11, retriesWithoutProgress: 2, alone: true }),
      highWaterAtStart: 11,
      done: 0,
      total: 11,
    },
    [{ kind: "start", lease, resumeAt: 3, alone: true }],
  ],
  [
    "progress moves the high water",
    prefilling(2, { highWater: 2 }),
    { kind: "progress", lease, done: 6, total: 8 },
    prefilling(6, { highWater: 6 }),
    [],
  ],
  [
    "progress that does not pass the high water leaves retries without progress alone",
    prefilling(2, { highWater: 7, retriesWithoutProgress: 1 }),
    { kind: "progress", lease, done: 7, total: 8 },
    prefilling(7, { highWater: 7, retriesWithoutProgress: 1 }),
    [],
  ],
  [
    "progress past the high water forgives retries without progress and solitude",
    prefilling(2, { highWater: 5, retriesWithoutProgress: 2, alone: true }),
    { kind: "progress", lease, done: 6, total: 8 },
    prefilling(6, { highWater: 6, retriesWithoutProgress: 0, alone: false }),
    [],
  ],
  [
    "the first tokens end the prefill",
    prefilling(8, { highWater: 8 }),
    { kind: "tokens", lease, index: 0, count: 2 },
    decoding(2),
    [{ kind: "emit", index: 0, count: 2 }],
  ],
  [
    "tokens append where the last ones ended",
    decoding(2),
    { kind: "tokens", lease, index: 2, count: 1 },
    decoding(3),
    [{ kind: "emit", index: 2, count: 1 }],
  ],
  [
    "an end while prefilling is legal",
    prefilling(),
    { kind: "ended", lease, finish: stop },
    done(stop),
    [close(stop)],
  ],
  [
    "an end while decoding",
    decoding(2),
    { kind: "ended", lease, finish: { kind: "toolCalls" } },
    done({ kind: "toolCalls" }, 2),
    [close({ kind: "toolCalls" })],
  ],
  [
    "a failure that the worker traced to this request",
    decoding(2),
    { kind: "ended", lease, finish: failed("generation_error") },
    done(failed("generation_error"), 2),
    [close(failed("generation_error"))],
  ],
  [
    "a refusal is an end",
    prefilling(),
    { kind: "refused", lease, code: "context_length_exceeded" },
    done(failed("context_length_exceeded")),
    [close(failed("context_length_exceeded"))],
  ],
  [
    "a lease lost after progress is no retry without progress",
    decoding(2),
    { kind: "lost", lease, loss: "exited", beside: false },
    queued({ emitted: 2, highWater: 10 }, 1),
    [requeue, migrated("exited")],
  ],
  [
    "a lease lost without progress is a retry without progress",
    prefilling(),
    { kind: "lost", lease, loss: "stalled", beside: false },
    queued({ retriesWithoutProgress: 1 }, 1),
    [requeue, migrated("stalled")],
  ],
  [
    "with somebody else on that worker it is a doubt",
    prefilling(0, { retriesWithoutProgress: 0 }),
    { kind: "lost", lease, loss: "exited", beside: true },
    queued({ doubts: 1 }, 1),
    [requeue, migrated("exited")],
  ],
  [
    "but of memory that all of them have filled",
    prefilling(0, { retriesWithoutProgress: 0 }),
    { kind: "lost", lease, loss: "outOfMemory", beside: true },
    queued({ retriesWithoutProgress: 1 }, 1),
    [requeue, migrated("outOfMemory")],
  ],
  [
    "a doubt counts towards solitude",
    prefilling(0, { retriesWithoutProgress: retriesBeforeAlone - 1 }),
    { kind: "lost", lease, loss: "exited", beside: true },
    queued({ retriesWithoutProgress: retriesBeforeAlone - 1, doubts: 1, alone: true }, 1),
    [requeue, migrated("exited")],
  ],
  [
    "and never fails anybody",
    prefilling(0, { retriesWithoutProgress: retriesMax - 1, doubts: 7, alone: true }),
    { kind: "lost", lease, loss: "exited", beside: true },
    queued({ retriesWithoutProgress: retriesMax - 1, doubts: 8, alone: true }, 1),
    [requeue, migrated("exited")],
  ],
  [
    "a lease lost after progress is no doubt either",
    decoding(2),
    { kind: "lost", lease, loss: "exited", beside: true },
    queued({ emitted: 2, highWater: 10 }, 1),
    [requeue, migrated("exited")],
  ],
  [
    "progress past the high water clears doubts",
    prefilling(2, { highWater: 5, doubts: 2, alone: true }),
    { kind: "progress", lease, done: 6, total: 8 },
    prefilling(6, { highWater: 6 }),
    [],
  ],
  [
    "a stop that we ordered is no retry without progress",
    prefilling(),
    { kind: "lost", lease, loss: "stopped", beside: false },
    queued({}, 1),
    [requeue, migrated("stopped")],
  ],
  [
    "the second retry without progress: alone",
    prefilling(0, { retriesWithoutProgress: retriesBeforeAlone - 1 }),
    { kind: "lost", lease, loss: "outOfMemory", beside: false },
    queued({ retriesWithoutProgress: retriesBeforeAlone, alone: true }, 1),
    [requeue, migrated("outOfMemory")],
  ],
  [
    "the third retry without progress: failed",
    decoding(2, { retriesWithoutProgress: retriesMax - 1, alone: true }, 10),
    { kind: "lost", lease, loss: "linkViolated", beside: false },
    done(failed("worker_crashed"), 2),
    [close(failed("worker_crashed"))],
  ],
  [
    "the third retry without progress for want of memory says so",
    prefilling(0, { retriesWithoutProgress: retriesMax - 1, alone: true }),
    { kind: "lost", lease, loss: "outOfMemory", beside: false },
    done(failed("out_of_memory")),
    [close(failed("out_of_memory"))],
  ],
  ["cancel takes the slot back", decoding(2), { kind: "cancel" }, cancelling("cancelled"), [abort]],
  [
    "so does a deadline",
    prefilling(),
    { kind: "deadline" },
    {
      kind: "cancelling",
      lease,
      tally: tally(),
      highWaterAtStart: 0,
      cause: "expired",
    },
    [abort],
  ],
  ["so does a shutdown", decoding(2), { kind: "shutdown" }, cancelling("shutdown"), [abort]],
  ["so does preemption", decoding(2), { kind: "preempt" }, cancelling("preempted"), [abort]],
  [
    "the worker's answer ends a cancelled request",
    cancelling("cancelled"),
    { kind: "aborted", lease },
    done(cancelled, 2),
    [close(cancelled)],
  ],
  [
    "an end that crossed the abort does not undo the cancel",
    cancelling("expired"),
    { kind: "ended", lease, finish: stop },
    done(expired, 2),
    [close(expired)],
  ],
  [
    "nor does the worker's death",
    cancelling("shutdown"),
    { kind: "lost", lease, loss: "exited", beside: false },
    done(failed("server_shutdown"), 2),
    [close(failed("server_shutdown"))],
  ],
  [
    "a preempted request keeps what still comes",
    cancelling("preempted"),
    { kind: "tokens", lease, index: 2, count: 1 },
    cancelling("preempted", 3),
    [{ kind: "emit", index: 2, count: 1 }],
  ],
  [
    "a preempted request goes back to the queue without a retry without progress",
    cancelling("preempted"),
    { kind: "aborted", lease },
    queued({ emitted: 2, highWater: 10 }, 1),
    [requeue],
  ],
  [
    "a preempted request that ends meanwhile has ended",
    cancelling("preempted"),
    { kind: "ended", lease, finish: stop },
    done(stop, 2),
    [close(stop)],
  ],
  [
    "a preempted request whose worker dies migrates",
    cancelling("preempted"),
    { kind: "lost", lease, loss: "linkClosed", beside: false },
    queued({ emitted: 2, highWater: 10 }, 1),
    [requeue, migrated("linkClosed")],
  ],
  [
    "cancel of a preempted request aborts no second time",
    cancelling("preempted"),
    { kind: "cancel" },
    cancelling("cancelled"),
    [],
  ],
];

const late = { kind: "late" };
const illegal = { kind: "illegal" };

const refusals: [name: string, from: State, event: Event, rejection: object][] = [
  ["an empty prompt", initial, { kind: "prepared", promptTokens: 0 }, illegal],
  ["an empty prompt to be stored", initialStored, { kind: "prepared", promptTokens: 0 }, illegal],
  ["stored before it is prepared", initialStored, { kind: "stored" }, illegal],
  ["unstorable before it is prepared", initialStored, { kind: "unstorable" }, illegal],
  ["stored twice", queued(), { kind: "stored" }, illegal],
  ["a second preparation", storing, { kind: "prepared", promptTokens: 8 }, illegal],
  ["dispatch before it is stored", storing, { kind: "dispatch", workerId: "w" }, illegal],
  ["dispatch before preparation", initial, { kind: "dispatch", workerId: "w" }, illegal],
  ["a second dispatch", decoding(1), { kind: "dispatch", workerId: "w" }, illegal],
  ["dispatch after the end", done(stop), { kind: "dispatch", workerId: "w" }, illegal],
  ["a cancel after the end", done(stop), { kind: "cancel" }, late],
  ["tokens after the end", done(stop), { kind: "tokens", lease, index: 0, count: 1 }, late],
  ["an abort nobody asked for", decoding(1), { kind: "aborted", lease }, illegal],
  ["tokens that skip one", decoding(2), { kind: "tokens", lease, index: 3, count: 1 }, illegal],
  ["tokens again", decoding(2), { kind: "tokens", lease, index: 1, count: 1 }, illegal],
  ["no tokens at all", decoding(2), { kind: "tokens", lease, index: 2, count: 0 }, illegal],
  ["backward progress", prefilling(4), { kind: "progress", lease, done: 3, total: 8 }, illegal],
  ["too much progress", prefilling(4), { kind: "progress", lease, done: 9, total: 8 }, illegal],
  ["another total", prefilling(4), { kind: "progress", lease, done: 5, total: 9 }, illegal],
  ["progress after tokens", decoding(1), { kind: "progress", lease, done: 8, total: 8 }, illegal],
  [
    "a worker that says cancelled",
    decoding(1),
    { kind: "ended", lease, finish: cancelled },
    illegal,
  ],
  [
    "a worker that says expired, even when it is",
    cancelling("expired"),
    { kind: "ended", lease, finish: expired },
    illegal,
  ],
  [
    "tokens for a cancelled request",
    cancelling("cancelled"),
    { kind: "tokens", lease, index: 2, count: 1 },
    late,
  ],
  [
    "tokens that skip one, for a preempted request",
    cancelling("preempted"),
    { kind: "tokens", lease, index: 3, count: 1 },
    illegal,
  ],
  [
    "a restored prompt without tokens",
    initial,
    { kind: "restored", promptTokens: 0, emitted: 0 },
    illegal,
  ],
  [
    "a restored request with less than nothing out",
    initial,
    { kind: "restored", promptTokens: 8, emitted: -1 },
    illegal,
  ],
  [
    "a second life for what is accepted",
    queued(),
    { kind: "restored", promptTokens: 8, emitted: 3 },
    illegal,
  ],
  ["stored too late", done(cancelled), { kind: "stored" }, late],
  ["unstorable too late", done(cancelled), { kind: "unstorable" }, late],
  ["a second cancel", cancelling("cancelled"), { kind: "cancel" }, late],
  ["preemption of what waits", queued(), { kind: "preempt" }, late],
  [
    "an older lease",
    queued({ retriesWithoutProgress: 1 }, 4),
    { kind: "tokens", lease, index: 0, count: 1 },
    { kind: "stale", current: 4, got: 1 },
  ],
  [
    "the last lease, after it was lost",
    queued({ retriesWithoutProgress: 1 }, 1),
    { kind: "tokens", lease, index: 0, count: 1 },
    late,
  ],
  [
    "a lease of the future",
    decoding(1),
    { kind: "tokens", lease: { ...lease, epoch: 2 }, index: 1, count: 1 },
    illegal,
  ],
  [
    "this lease from another worker",
    decoding(1),
    { kind: "lost", lease: { ...lease, workerId: "v" }, loss: "exited", beside: false },
    illegal,
  ],
];

describe("Request", () => {
  it.each(moves)("%s", (_, from, event, to, effects) => {
    expect(accepted(transition(from, event))).toEqual({ ok: true, state: to, effects });
  });
  it.each(refusals)("rejects %s", (_, from, event, rejection) => {
    expect(transition(from, event)).toEqual({ ok: false, rejection });
  });
});
