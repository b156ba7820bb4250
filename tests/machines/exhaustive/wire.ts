/**
 * What goes between the loop and a process, and when. Knows frames and no reason for one.
 *
 * On a `fifo` wire frames wait in both directions and a death cuts what is on its way anywhere. On a
 * `rendezvous` wire nothing waits, and nothing is lost by that:
 * - Upwards: both ends see their own order only. Delay whatever a process does until just before the
 *   loop hears of it: the loop hears the same in the same order. What was sent and lost is then never
 *   said. What was sent before a kill and heard after it is said by a process that has yet to die.
 * - Downwards: a process does nothing observable because of a frame before it speaks, so it reads at
 *   once and answers when it likes. Only `abort` and `stop` forbid something after they were read;
 *   they are read with their answer, and until then the process goes on.
 * `exhaustive.test.ts` compares what the loop goes through on either wire.
 */
import { protocol } from "../../../src-ts/machines/Worker.js";
import { Broken, type Draft } from "./draft.js";
import type { Loop } from "./loop.js";
import {
  type Down,
  goneSlot,
  type Held,
  type Process,
  requestName,
  type Up,
  workerName,
} from "./world.js";

/** Something that may happen next. */
export interface Move {
  readonly label: string;
  /** False for what nobody owes: clients, orders, faults, preemption. What is owed happens some day. */
  readonly owed: boolean;
  /** One frame of this worker's process; more of them may come in the same turn. */
  readonly frameOf?: number;
  readonly apply: (loop: Loop) => void;
}

const capabilities = { contextMax: 9, kvBytesPerToken: 1, kvBytesFixed: 0, weightsBytes: 1 };

/** A frame goes down to the process. */
export function obey(draft: Draft, worker: number, frame: Down): void {
  const { process } = draft.worker(worker);
  // Before it is launched there is no link to write to.
  if (process === null || process.stage === "dead" || process.stage === "launched") return;
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { down: [...process.down, frame] });
  else read(draft, worker, frame);
}

export function read(draft: Draft, worker: number, frame: Down): void {
  const process = draft.worker(worker).process!;
  switch (frame.type) {
    case "load":
      return draft.changeProcess(worker, { stage: "loading" });
    case "stop":
      return draft.changeProcess(worker, { askedToStop: true });
    case "prepare":
      return draft.changeProcess(worker, {
        preparing: [...process.preparing, { id: frame.id, deadly: frame.deadly }],
      });
    case "admit":
      return admit(draft, worker, process, frame);
    case "abort": {
      const held = process.held.map((one) =>
        one.id === frame.id ? { ...one, aborting: true } : one,
      );
      return draft.changeProcess(worker, { held });
    }
  }
}

function admit(
  draft: Draft,
  worker: number,
  { held }: Process,
  { id, emitted, deadly }: Extract<Down, { type: "admit" }>,
): void {
  if (id !== goneSlot && held.some((one) => one.id === id))
    throw new Broken("a slot is admitted once");
  const admitted: Held = { id, deadly, next: emitted, prefilled: false, aborting: false };
  draft.changeProcess(worker, { held: [...held, admitted] });
}

/** The process says something; it reaches the loop now, or waits on the wire. */
export function say(loop: Loop, worker: number, frame: Up): void {
  const { draft } = loop;
  const { process } = draft.worker(worker);
  if (draft.configuration.wire === "fifo")
    draft.changeProcess(worker, { up: [...process!.up, frame] });
  else hear(loop, worker, loop.supervisors.epoch(worker), frame);
}

/** As `Supervisor.events` and `Supervisor.receive` have it. */
export function hear(loop: Loop, worker: number, saidIn: number, frame: Up): void {
  const { draft, supervisors } = loop;
  const current = supervisors.epoch(worker);
  const epoch = draft.omits("epoch check") ? current : saidIn;
  if (epoch !== current) return;
  switch (frame.type) {
    case "garbage":
      return supervisors.condemn(worker);
    case "hello":
      return supervisors.post(worker, { kind: "hello", epoch, protocol });
    case "ready":
      draft.changeWorker(worker, { outOfMemory: false });
      return supervisors.post(worker, { kind: "loaded", epoch, capabilities, at: 0 });
    case "loadFailed":
      draft.changeWorker(worker, { outOfMemory: false });
      return supervisors.post(worker, { kind: "loadFailed", epoch });
    case "outOfMemory":
      return draft.changeWorker(worker, { outOfMemory: true });
    default:
      supervisors.post(worker, { kind: "progressed", epoch, at: 0 });
      return loop.receive(worker, frame);
  }
}

export function frame(worker: number, said: Up, change: Partial<Process>, owed = true): Move {
  const about = "id" in said ? ` of ${slotName(said.id)}` : "";
  const index = said.type === "token" ? ` ${said.index}` : "";
  return {
    label: `${workerName(worker)} says ${said.type}${index}${about}`,
    owed,
    frameOf: worker,
    apply: (loop) => {
      loop.draft.changeProcess(worker, change);
      say(loop, worker, said);
    },
  };
}

const slotName = (id: number): string =>
  id === goneSlot ? "a slot that has gone" : requestName(id - 1);
