/**
 * States as short vectors of numbers: equal requests, workers and servers are one part with one number. A state is
 * the orchestrator, as its view shows it, and the world around it. What differs and can never matter is left out:
 * - Epochs. Machines only compare them, so a living incarnation is like any other, and so is the lease that is
 *   held. What was before is older, however much; between two turns no other lease is left to speak of.
 * - Slot ids, given once: a slot is its request's, and all that the orchestrator has forgotten is one that has gone.
 * - Times, which only count from one another: of a silence, since it began; of a reduction, whether it is over.
 * - Requests that have ended: nothing they carry is looked at again. The laws of the end are checked
 *   when it comes.
 * - The order of a batch's members and of the queue, of which nothing depends.
 * - The number of deaths with progress between them, far below the 20 that matter.
 * - What a process holds of slots that have gone: all its frames of them say nothing, one stands for all.
 * - The books that are kept beside the orchestrator: the laws say that they are what it shows.
 *
 * Where requests are interchangeable, the smallest vector over all ways to name them stands for the state. Workers
 * are so too once every request is accepted: until then the first of those that are equal prepares.
 */
import type * as Batch from "../../../src-ts/machines/Batch.js";
import type { View, WorkerView } from "../../../src-ts/machines/Orchestrator.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";
import { Seen } from "./laws.js";
import {
  type Process,
  type RequestPart,
  requestName,
  requestOf,
  type WorkerPart,
  type World,
} from "./world.js";

/** A request without its name: what it is, and the worker where that happens, or -1. */
interface RequestKey {
  readonly rest: string;
  readonly worker: number;
}

/** What names a request: its number, or -1 for one that has gone; the rest of it as it is written. */
interface Named {
  readonly request: number;
  readonly rest: string;
}

/** A worker without its name. */
interface WorkerKey {
  readonly rest: string;
  readonly members: readonly Named[];
  readonly held: readonly Named[];
  readonly prepares: readonly Named[];
  /** In the order in which they were sent: so they are lost. */
  readonly preparations: readonly Named[];
  /** On the wire: in order. */
  readonly down: readonly Named[];
  readonly up: readonly Named[];
}

/** Numbers for values that are written the same way. */
class Table<T> {
  readonly values: T[] = [];
  private readonly numbers = new Map<string, number>();

  constructor(private readonly written: (value: T) => string) {}

  number(value: T): number {
    const text = this.written(value);
    const known = this.numbers.get(text);
    if (known !== undefined) return known;
    this.numbers.set(text, this.values.length);
    return this.values.push(value) - 1;
  }
}

/** States of machines as one number each, whatever can't matter taken away; each object is looked at once. */
class MachineStates<S extends object> {
  private readonly table = new Table<object>(JSON.stringify);
  private readonly numbers = new WeakMap<S, number>();

  constructor(private readonly plainOf: (state: S) => object) {}

  number(state: S): number {
    let number = this.numbers.get(state);
    if (number === undefined) {
      number = this.table.number(this.plainOf(state));
      this.numbers.set(state, number);
    }
    return number;
  }
}

/** One way to name requests and workers: `requests[i]` is the new index of request `i`. */
interface Naming {
  readonly requests: readonly number[];
  readonly workers: readonly number[];
  readonly requestNumbers: number[];
  readonly workerNumbers: number[];
}

export class Parts {
  readonly width: number;
  private readonly requestStates = new MachineStates<Request.State>(plainRequestState);
  private readonly workerStates = new MachineStates<Worker.State>(plainWorkerState);
  private readonly requests = new Table<RequestKey>(writeRequest);
  private readonly workers = new Table<WorkerKey>(writeWorker);
  private readonly servers = new Table<World["server"]>(JSON.stringify);
  private readonly namings: readonly Naming[];
  private readonly allNamings: readonly Naming[];
  private readonly closes: boolean;

  constructor({ requests, workers, symmetric, liberties }: Configuration) {
    this.width = requests + workers + 1;
    this.closes = liberties.includes("close");
    const orders = (count: number) => (symmetric ? permutations(count) : [range(count)]);
    this.namings = namingsOf(orders(requests), [range(workers)]);
    this.allNamings = namingsOf(orders(requests), orders(workers));
  }

  encode(world: World, view: View): number[] {
    const seen = new Seen(view);
    const requests = world.requests.map((part, request) =>
      this.requests.number(this.requestKey(seen, part, request)),
    );
    const owners = ownersOf(world);
    const workers = world.workers.map((part, worker) =>
      this.workers.number(this.workerKey(seen, part, worker, owners, world.now)),
    );
    const namings = isSettled(world, seen) ? this.allNamings : this.namings;
    const best = this.smallest(namings, requests, workers);
    best.push(this.servers.number(world.server));
    return best;
  }

  /** What the orchestrator knows, whatever processes and wires hold. */
  orchestratorSide(world: World, view: View): string {
    const seen = new Seen(view);
    const owners = ownersOf(world);
    const requests = world.requests.map((part, i) => writeRequest(this.requestKey(seen, part, i)));
    const workers = world.workers.map((part, i) =>
      writeWorker(this.workerKey(seen, { ...part, process: null }, i, owners, world.now)),
    );
    return JSON.stringify([requests, workers, world.server.phase]);
  }

  private requestKey(seen: Seen, part: RequestPart | null, request: number): RequestKey {
    if (part === null) return absent;
    const shown = seen.request(request);
    if (shown === undefined) return ended;
    const name = requestName(request);
    const { unprepared, suspects } = seen.view;
    const { state, phase, survives } = shown;
    const { slot, preparing, interrupted, unsendable } = part;
    const places = [unprepared.indexOf(name), suspects.indexOf(name)];
    // What survives is only asked when the server ends.
    const flags = [
      unsendable,
      phase,
      this.closes && survives,
      interrupted,
      slot?.submitted,
      slot?.abortSent,
    ];
    const rest = [this.requestStates.number(state), ...places, ...flags].join();
    return { rest, worker: slot?.worker ?? preparing?.worker ?? -1 };
  }

  private workerKey(
    seen: Seen,
    { windowArmed, timers, process, ghost }: WorkerPart,
    worker: number,
    owners: ReadonlyMap<number, number>,
    now: number,
  ): WorkerKey {
    const shown = seen.worker(worker);
    const { state, available, active, trying, pending, preparing, batch, reduction } = shown;
    const ownerOf = (id: number): number => owners.get(id) ?? -1;
    const rest = [
      ...[this.workerStates.number(state), available, active, trying, pending, preparing],
      ...[batch?.kind, reduction?.members, reduction && reduction.until > now],
      ...[windowArmed, ghost, ...timers, process === null ? "" : writeFlags(process)],
    ].join();
    return {
      rest,
      members: batch === undefined ? nobody : membersIn(batch),
      ...processKey(process, ownerOf),
      preparations: preparationsAt(seen.view, shown),
    };
  }

  private smallest(
    namings: readonly Naming[],
    requests: readonly number[],
    workers: readonly number[],
  ): number[] {
    let best: number[] = [];
    let other: number[] = [];
    for (const naming of namings) {
      for (let i = 0; i < requests.length; i += 1)
        other[naming.requests[i]!] = this.renameRequest(requests[i]!, naming);
      for (let i = 0; i < workers.length; i += 1)
        other[requests.length + naming.workers[i]!] = this.renameWorker(workers[i]!, naming);
      if (best.length === 0) [best, other] = [other, [...other]];
      else if (isLess(other, best)) [best, other] = [other, best];
    }
    return best;
  }

  private renameRequest(number: number, { requestNumbers, workers }: Naming): number {
    const known = requestNumbers[number];
    if (known !== undefined) return known;
    const { rest, worker } = this.requests.values[number]!;
    requestNumbers[number] = this.requests.number({ rest, worker: workers[worker] ?? -1 });
    return requestNumbers[number];
  }

  private renameWorker(number: number, { workerNumbers, requests }: Naming): number {
    const known = workerNumbers[number];
    if (known !== undefined) return known;
    workerNumbers[number] = this.workers.number(
      renameWorker(this.workers.values[number]!, requests),
    );
    return workerNumbers[number];
  }
}

const namingsOf = (
  requests: readonly (readonly number[])[],
  workers: readonly (readonly number[])[],
): Naming[] =>
  workers.flatMap((workers) =>
    requests.map((requests) => ({ requests, workers, requestNumbers: [], workerNumbers: [] })),
  );

/** Nobody has to be prepared any more. */
const isSettled = ({ requests }: World, seen: Seen): boolean =>
  requests.every(
    (part, request) => part !== null && seen.request(request)?.state.kind !== "preparing",
  );

// What can't matter.

const absent: RequestKey = { rest: "absent", worker: -1 };
const ended: RequestKey = { rest: "ended", worker: -1 };
const nobody: readonly Named[] = [];

/** The lease's worker is the slot's. */
function plainRequestState(state: Request.State): object {
  if (state.kind === "queued") return { ...state, epoch: 0 };
  return "lease" in state ? { ...state, lease: undefined } : state;
}

function plainWorkerState(state: Worker.State): object {
  const { epoch, deathsWithoutProgress } = state.memory;
  const memory = [Math.min(1, epoch), deathsWithoutProgress.length];
  const plain = { ...state, memory, since: 0, until: 0 };
  if (!("liveness" in state)) return plain;
  const { progressed, pending, preparing } = state.liveness;
  return { ...plain, liveness: [progressed, pending, preparing] };
}

// Who is where.

/** Requests by the ids under which workers know them. */
function ownersOf({ requests }: World): ReadonlyMap<number, number> {
  const owners = new Map<number, number>();
  for (const [request, part] of requests.entries()) {
    const id = part?.slot?.id ?? part?.preparing?.id;
    if (id !== undefined) owners.set(id, request);
  }
  return owners;
}

function membersIn(batch: Batch.State): Named[] {
  const named = (members: readonly Batch.Member[], joining: boolean): Named[] =>
    members.map(({ requestId, cost, exclusive, prefilled }) => ({
      request: requestOf(requestId),
      rest: [cost.promptTokens, cost.newTokens, exclusive, prefilled, joining].join(),
    }));
  switch (batch.kind) {
    case "forming":
      return [...named(batch.running, false), ...named(batch.joining, true)].sort(byName);
    case "running":
    case "draining":
      return named(batch.members, false).sort(byName);
    case "closed":
      return [];
  }
}

/** Those that nobody waits for count by their number. */
function preparationsAt({ preparations }: View, { workerId }: WorkerView): Named[] {
  const here = preparations.filter((one) => one.workerId === workerId);
  const waitedFor = here.flatMap(({ requestId, alone }) =>
    requestId === undefined ? [] : [{ request: requestOf(requestId), rest: `${alone}` }],
  );
  return [...waitedFor, { request: -1, rest: `${here.length - waitedFor.length}` }];
}

const noProcess = { held: nobody, prepares: nobody, down: nobody, up: nobody };

function processKey(process: Process | null, ownerOf: (id: number) => number) {
  if (process === null) return noProcess;
  const { held, preparing, down, up } = process;
  const framed = <F extends object>(one: F): Named =>
    "id" in one
      ? { request: ownerOf(one.id as number), rest: JSON.stringify({ ...one, id: 0 }) }
      : { request: -1, rest: JSON.stringify(one) };
  return {
    held: unite(
      held.map(({ id, deadly, next, prefilled, aborting }) => {
        const request = ownerOf(id);
        const rest = request === -1 ? `${deadly}` : [deadly, next, prefilled, aborting].join();
        return { request, rest };
      }),
    ),
    prepares: preparing
      .map(({ id, deadly }) => ({ request: ownerOf(id), rest: `${deadly}` }))
      .sort(byName),
    down: down.map(framed),
    up: up.map(framed),
  };
}

const writeFlags = ({ stage, hung, askedToStop, killed, linkClosed }: Process): string =>
  `${stage},${hung},${askedToStop},${killed},${linkClosed}`;

/** In order, and what has gone once. */
function unite(values: Named[]): Named[] {
  const isFirst = (one: Named, index: number): boolean =>
    values.findIndex(({ request, rest }) => request === -1 && rest === one.rest) === index;
  return values.filter((one, index) => one.request !== -1 || isFirst(one, index)).sort(byName);
}

const byName = (a: Named, b: Named): number =>
  a.request - b.request || (a.rest < b.rest ? -1 : Number(a.rest > b.rest));

// Names.

function renameWorker(key: WorkerKey, requests: readonly number[]): WorkerKey {
  const named = (values: readonly Named[]): Named[] =>
    values.map(({ request, rest }) => ({ request: requests[request] ?? -1, rest }));
  return {
    rest: key.rest,
    members: named(key.members).sort(byName),
    held: named(key.held).sort(byName),
    prepares: named(key.prepares).sort(byName),
    preparations: named(key.preparations),
    down: named(key.down),
    up: named(key.up),
  };
}

const writeRequest = ({ rest, worker }: RequestKey): string => `${rest};${worker}`;

const writeNamed = (values: readonly Named[]): string => {
  let text = "";
  for (const { request, rest } of values) text += `${request}:${rest} `;
  return text;
};

const writeWorker = ({
  rest,
  members,
  held,
  prepares,
  preparations,
  down,
  up,
}: WorkerKey): string =>
  [
    rest,
    writeNamed(members),
    writeNamed(held),
    writeNamed(prepares),
    writeNamed(preparations),
    writeNamed(down),
    writeNamed(up),
  ].join(";");

// Orders.

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function permutations(count: number): number[][] {
  if (count === 0) return [[]];
  return permutations(count - 1).flatMap((rest) =>
    range(count).map((at) => [...rest.slice(0, at), count - 1, ...rest.slice(at)]),
  );
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return false;
}
