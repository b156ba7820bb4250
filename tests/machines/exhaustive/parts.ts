/**
 * Worlds as short vectors of numbers: equal requests, workers and servers are one part with one number.
 * What differs and can never matter is made equal first:
 * - Epochs. Machines only compare them, so the living incarnation is 1, and so is the lease that is
 *   held. What was before is older, however much; between two turns no other lease is left to speak of.
 * - Slot ids, given once: request `i` has slot `i + 1`, and all that the loop has forgotten is `goneSlot`.
 * - Requests that have ended: nothing they carry is looked at again. The laws of the end are checked
 *   when it comes.
 * - The order of a batch's members, of which nothing depends.
 * - The number of deaths with progress between them, far below the 20 that matter.
 * - What a process holds of slots that have gone: all its frames of them say nothing, one stands for all.
 *
 * Where requests and workers are interchangeable, the smallest vector over all ways to name them stands
 * for the world.
 */
import type * as Batch from "../../../src-ts/machines/Batch.js";
import type * as Request from "../../../src-ts/machines/Request.js";
import type * as Worker from "../../../src-ts/machines/Worker.js";
import type { Configuration } from "./configuration.js";
import {
  goneSlot,
  type Held,
  newRequest,
  type Preparing,
  type Process,
  type RequestPart,
  requestName,
  requestOf,
  type ServerPart,
  type WorkerPart,
  type World,
  workerName,
} from "./world.js";

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

/** States of machines as one object and one number each, whatever can't matter taken away. */
class MachineStates<S extends object> {
  private readonly table = new Table<S>(JSON.stringify);
  private readonly numbers = new WeakMap<S, number>();

  constructor(private readonly plainOf: (state: S) => S) {}

  number(state: S): number {
    let number = this.numbers.get(state);
    if (number === undefined) {
      number = this.table.number(this.plainOf(state));
      this.numbers.set(state, number);
    }
    return number;
  }

  plain(state: S): S {
    return this.table.values[this.number(state)]!;
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
  private readonly batches = new MachineStates<Batch.State>((batch) => nameBatch(batch, sameName));
  private readonly requests = new Table<RequestPart | null>((one) => this.writeRequest(one));
  private readonly workers = new Table<WorkerPart>((one) => this.writeWorker(one));
  private readonly servers = new Table<ServerPart>(JSON.stringify);
  private readonly namings: Naming[];
  /** Numbers of parts that were decoded, so that what a move left alone is not written again. */
  private readonly requestNumbers = new WeakMap<RequestPart, number>();
  private readonly workerNumbers = new WeakMap<WorkerPart, Map<number, number>>();
  private readonly placed: RequestPart[][] = [];

  constructor({ requests, workers, symmetric }: Configuration) {
    this.width = requests + workers + 1;
    const orders = (count: number) => (symmetric ? permutations(count) : [range(count)]);
    this.namings = orders(workers).flatMap((workers) =>
      orders(requests).map((requests) => ({
        requests,
        workers,
        requestNumbers: [],
        workerNumbers: [],
      })),
    );
  }

  encode(world: World): number[] {
    const known = knownSlots(world.requests);
    const requests = world.requests.map((one) => this.requestNumber(one));
    const workers = world.workers.map((one) => this.workerNumber(one, known, world.requests));
    const best = this.smallest(requests, workers);
    best.push(this.servers.number(world.server));
    return best;
  }

  decode(vector: ArrayLike<number>): World {
    const count = this.namings[0]!.requests.length;
    const requests = range(count).map((i) => this.place(vector[i]!, i));
    const workers = range(this.width - count - 1).map(
      (i) => this.workers.values[vector[count + i]!]!,
    );
    for (const worker of workers)
      if (!this.workerNumbers.has(worker)) this.workerNumbers.set(worker, new Map());
    return { requests, workers, server: this.servers.values[vector[this.width - 1]!]! };
  }

  /** The same world under the same names, without what can't matter. */
  plain(world: World): World {
    const { server } = world;
    const requests = world.requests.map((one, i) => this.place(this.requestNumber(one), i));
    const workers = world.workers.map((one) => this.plainWorker(one, world.requests));
    return { requests, workers, server };
  }

  private requestNumber(part: RequestPart | null): number {
    if (part === null) return this.requests.number(null);
    return this.requestNumbers.get(part) ?? this.requests.number(this.plainRequest(part));
  }

  /** The part as request `index` has it: with its own slot. */
  private place(number: number, index: number): RequestPart | null {
    const part = this.requests.values[number]!;
    if (part === null) return null;
    this.placed[number] ??= [];
    const places = this.placed[number];
    const known = places[index];
    if (known !== undefined) return known;
    const { slot, preparing } = part;
    const id = index + 1;
    const placed = {
      ...part,
      slot: slot && { ...slot, id },
      preparing: preparing && { ...preparing, id },
    };
    places[index] = placed;
    this.requestNumbers.set(placed, number);
    return placed;
  }

  private workerNumber(part: WorkerPart, known: number, requests: World["requests"]): number {
    const numbers = this.workerNumbers.get(part);
    const number = numbers?.get(known);
    if (number !== undefined) return number;
    const fresh = this.workers.number(this.plainWorker(part, requests));
    numbers?.set(known, fresh);
    return fresh;
  }

  private plainRequest(part: RequestPart): RequestPart {
    const { slot, preparing, closed } = part;
    if (closed) return ended;
    const state = this.requestStates.plain(part.state);
    const lease = "lease" in state ? state.lease : undefined;
    return {
      ...part,
      state,
      slot: slot && { ...slot, id: 1, lease: lease ?? slot.lease },
      preparing: preparing && { ...preparing, id: 1 },
    };
  }

  private plainWorker(part: WorkerPart, requests: World["requests"]): WorkerPart {
    const { state, batch, process } = part;
    const nameOf = (id: number): number =>
      id === goneSlot ? goneSlot : requests.findIndex((one) => slotIdOf(one) === id) + 1;
    return {
      ...part,
      state: this.workerStates.plain(state),
      batch: batch && this.batches.plain(batch),
      process: process && nameProcess(process, nameOf),
    };
  }

  private writeRequest(part: RequestPart | null): string {
    if (part === null) return "";
    const { state, slot, preparing, ...flags } = part;
    const place = slot && [slot.worker, slot.submitted, slot.abortSent];
    return [
      this.requestStates.number(state),
      place,
      preparing && [preparing.worker, preparing.alone],
      ...Object.values(flags),
    ].join();
  }

  private writeWorker({ state, batch, process, timers, ...flags }: WorkerPart): string {
    const numbers = [this.workerStates.number(state), batch && this.batches.number(batch)];
    const all = [...numbers, ...timers, ...Object.values(flags), process && writeProcess(process)];
    return all.join();
  }

  private smallest(requests: readonly number[], workers: readonly number[]): number[] {
    let best: number[] = [];
    let other: number[] = [];
    for (const naming of this.namings) {
      for (let i = 0; i < requests.length; i += 1)
        other[naming.requests[i]!] = this.renameRequest(requests[i]!, naming);
      for (let i = 0; i < workers.length; i += 1)
        other[requests.length + naming.workers[i]!] = this.renameWorker(workers[i]!, naming);
      if (best.length === 0) [best, other] = [other, [...other]];
      else if (isLess(other, best)) [best, other] = [other, best];
    }
    return best;
  }

  private renameRequest(number: number, naming: Naming): number {
    const known = naming.requestNumbers[number];
    if (known !== undefined) return known;
    const part = this.requests.values[number]!;
    const renamed = part === null ? number : this.requests.number(renameRequest(part, naming));
    naming.requestNumbers[number] = renamed;
    return renamed;
  }

  private renameWorker(number: number, naming: Naming): number {
    const known = naming.workerNumbers[number];
    if (known !== undefined) return known;
    const renamed = this.workers.number(
      renameWorker(this.workers.values[number]!, naming.requests),
    );
    naming.workerNumbers[number] = renamed;
    return renamed;
  }
}

// What can't matter.

const ended: RequestPart = {
  ...newRequest,
  state: { kind: "done", finish: { kind: "stop" }, emitted: 0 },
  accepted: true,
  closed: true,
};

function plainRequestState(state: Request.State): Request.State {
  if (state.kind === "queued") return { ...state, epoch: 0 };
  return "lease" in state ? { ...state, lease: { ...state.lease, epoch: 1 } } : state;
}

function plainWorkerState(state: Worker.State): Worker.State {
  const { memory } = state;
  return { ...state, memory: { ...memory, epoch: Math.min(1, memory.epoch), deaths: [] } };
}

const slotIdOf = (request: RequestPart | null): number | undefined =>
  request?.slot?.id ?? request?.preparing?.id;

/** Which requests still have the slot that they had when the world was decoded, as bits. */
function knownSlots(requests: World["requests"]): number {
  let bits = 0;
  for (const [index, request] of requests.entries())
    if (slotIdOf(request) === index + 1) bits |= 1 << index;
  return bits;
}

// Names.

function renameRequest(part: RequestPart, { workers }: Naming): RequestPart {
  const { state, slot, preparing } = part;
  const workerOfSlot = slot && workers[slot.worker]!;
  const workerId = workerOfSlot === null ? "" : workerName(workerOfSlot);
  const leased = "lease" in state ? { ...state, lease: { ...state.lease, workerId } } : state;
  return {
    ...part,
    state: leased,
    slot: slot && { ...slot, worker: workerOfSlot!, lease: { ...slot.lease, workerId } },
    preparing: preparing && { ...preparing, worker: workers[preparing.worker]! },
  };
}

function renameWorker(part: WorkerPart, requests: readonly number[]): WorkerPart {
  const { batch, process } = part;
  const nameOf = (id: number): number => (id === goneSlot ? goneSlot : requests[id - 1]! + 1);
  const rename = (name: string): string => requestName(requests[requestOf(name)]!);
  return {
    ...part,
    batch: batch && nameBatch(batch, rename),
    process: process && nameProcess(process, nameOf),
  };
}

function nameBatch(batch: Batch.State, rename: (name: string) => string): Batch.State {
  const named = (members: readonly Batch.Member[]): Batch.Member[] =>
    members
      .map((one) => ({ ...one, requestId: rename(one.requestId) }))
      .toSorted((a, b) => requestOf(a.requestId) - requestOf(b.requestId));
  switch (batch.kind) {
    case "forming":
      return { ...batch, running: named(batch.running), joining: named(batch.joining) };
    case "running":
    case "draining":
      return { ...batch, members: named(batch.members) };
    case "closed":
      return batch;
  }
}

function nameProcess(process: Process, nameOf: (id: number) => number): Process {
  const frame = <F extends object>(one: F): F =>
    "id" in one ? { ...one, id: nameOf(one.id as number) } : one;
  return {
    ...process,
    held: unite(process.held.map((one) => plainHeld({ ...one, id: nameOf(one.id) }))),
    preparing: process.preparing.map((one) => ({ ...one, id: nameOf(one.id) })).toSorted(byName),
    down: process.down.map(frame),
    up: process.up.map(frame),
  };
}

const sameName = (name: string): string => name;

function writeProcess({ stage, held, preparing, down, up, ...flags }: Process): string {
  const kept = held.map(({ id, deadly, next, prefilled, aborting }) =>
    [id, deadly, next, prefilled, aborting].join(),
  );
  const prepares = preparing.map(({ id, deadly }) => [id, deadly].join());
  const wires = down.length + up.length === 0 ? "" : JSON.stringify([down, up]);
  return `${stage};${Object.values(flags).join()};${kept.join(";")};${prepares.join(";")};${wires}`;
}

const plainHeld = (held: Held): Held =>
  held.id === goneSlot ? { ...held, next: 0, prefilled: false, aborting: false } : held;

const byName = (a: Preparing, b: Preparing): number =>
  a.id - b.id || Number(a.deadly) - Number(b.deadly);

/** In order, and what has gone once. */
function unite(values: readonly Held[]): Held[] {
  const isFirst = (one: Held, index: number): boolean =>
    values.findIndex(({ id, deadly }) => id === one.id && deadly === one.deadly) === index;
  return values.filter((one, index) => one.id !== goneSlot || isFirst(one, index)).toSorted(byName);
}

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
