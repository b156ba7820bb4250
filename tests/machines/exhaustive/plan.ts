/** What `Scheduler.plan` decides, asked as `src-ts/engine/placement.ts` asks it. */
import * as Batch from "../../../src-ts/machines/Batch.js";
import * as Scheduler from "../../../src-ts/machines/Scheduler.js";
import type { Draft } from "./draft.js";
import {
  accepts,
  costOf,
  members,
  preparedBy,
  type RequestPart,
  requestName,
  requestOf,
  termsOf,
  workerName,
} from "./world.js";

const policy: Scheduler.Policy = { ...Scheduler.defaultPolicy, imbalanceMax: 2 };
/** By request, so that there is something to preempt. */
const priorities = ["batch", "interactive", "normal"] as const;

export function decisionsOf(draft: Draft): Scheduler.Decision[] {
  const workers = [...draft.workers.keys()].filter((w) => accepts(draft.worker(w)));
  return Scheduler.plan({
    queue: [...draft.requests.entries()].flatMap(([index, one]) =>
      one?.queued ? [item(draft, index, one)] : [],
    ),
    workers: workers.map((worker) => place(draft, worker)),
    shares: [], // one client: its credit is always even
    now: 0,
    policy,
  }).decisions;
}

function item(draft: Draft, request: number, part: RequestPart): Scheduler.Item {
  return {
    requestId: requestName(request),
    clientId: "c",
    key: "m",
    priority: priorities[request % priorities.length]!,
    arrivedAt: 0,
    deadlineAt: Number.POSITIVE_INFINITY,
    cost: costOf(draft.configuration, part),
    alone: part.state.kind === "queued" && part.state.tally.alone,
    prefixes: [],
  };
}

function place(draft: Draft, worker: number): Scheduler.Worker {
  const part = draft.worker(worker);
  const { batch } = part;
  const present = members(batch);
  const { budget: capacity } = termsOf(draft.configuration, part);
  return {
    workerId: workerName(worker),
    key: "m",
    capacity,
    free: batch === null ? { members: 0, kvBytes: 0, prefillTokens: 0 } : Batch.free(batch),
    held: present.some(({ exclusive }) => exclusive),
    preparing: preparedBy(draft, worker).length + part.orphans > 0,
    running: present.map(({ requestId, cost }) => running(draft, requestId, cost)),
  };
}

function running(draft: Draft, requestId: string, cost: Batch.Cost): Scheduler.Running {
  const request = requestOf(requestId);
  const { kind } = draft.request(request).state;
  const priority = priorities[request % priorities.length]!;
  const preemptible = kind === "prefilling" || kind === "decoding";
  return { requestId, priority, arrivedAt: 0, startedAt: 0, cost, preemptible };
}
