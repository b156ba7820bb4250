/**
 * Breadth-first search of everything that may happen: every state, every move out of it, every law in
 * every state; in the end, from every state a way on which all that is owed gets done. Complete, or it throws.
 */
import type { Configuration } from "./configuration.js";
import { Broken, Draft, type Machinery, machinery, remembered } from "./draft.js";
import { checkLiar, checkState } from "./laws.js";
import { Loop } from "./loop.js";
import { movesOf } from "./moves.js";
import { Parts } from "./parts.js";
import { processMoves } from "./process.js";
import { Numbers, States } from "./states.js";
import type { Move } from "./wire.js";
import { emptyWorld, type World } from "./world.js";

export interface Found {
  readonly configuration: Configuration;
  readonly states: number;
  /** Moves that were tried, those that change nothing included. */
  readonly transitions: number;
  /** Moves on the shortest way to the state that is farthest away. */
  readonly depth: number;
  readonly seconds: number;
}

/** A law that is broken, and how to get there. */
export class Counterexample extends Error {
  override readonly name = "Counterexample";

  constructor(
    readonly law: string,
    readonly trace: readonly string[],
  ) {
    const steps = trace.map((label, index) => `${String(index + 1).padStart(4)}  ${label}`);
    super([`Broken: ${law}`, ...steps].join("\n"));
  }
}

export interface SearchOptions {
  readonly machinery?: Machinery;
  /** Called for every state, once; what stands for it among its likes. */
  readonly visit?: (world: World) => void;
  /** Called now and then. */
  readonly progress?: (states: number, done: number) => void;
}

export function search(configuration: Configuration, options: SearchOptions = {}): Found {
  return new Search(configuration, options).run();
}

const progressStates = 200_000;

class Search {
  private readonly parts: Parts;
  private readonly states: States;
  private readonly machinery: Machinery;
  /** Where what is owed leads to: of state i, from `starts[i]` on. */
  private readonly owed = new Numbers();
  private readonly starts = new Numbers();
  private readonly finished = new Numbers();
  private transitions = 0;

  constructor(
    private readonly configuration: Configuration,
    private readonly options: SearchOptions,
  ) {
    this.parts = new Parts(configuration);
    this.states = new States(this.parts.width);
    this.machinery = remembered(options.machinery ?? machinery);
  }

  run(): Found {
    const began = performance.now();
    this.states.add(this.parts.encode(this.first()), -1);
    let depth = 0;
    for (let end = 1, state = 0; state < this.states.count; depth += 1) {
      for (; state < end; state += 1) this.expand(state);
      if (this.states.count === end) break;
      end = this.states.count;
    }
    this.starts.push(this.owed.length);
    this.checkThatAllCanEnd();
    const { configuration, transitions } = this;
    const seconds = (performance.now() - began) / 1000;
    return { configuration, states: this.states.count, transitions, depth, seconds };
  }

  /** The workers are started; that is all. */
  private first(): World {
    const empty = emptyWorld(this.configuration);
    const loop = this.loop(empty);
    for (const worker of empty.workers.keys()) loop.supervisors.post(worker, { kind: "start" });
    loop.endTurn();
    checkState(loop.draft);
    return loop.draft;
  }

  private loop(world: World): Loop {
    return new Loop(new Draft(world, this.configuration, this.machinery));
  }

  private expand(state: number): void {
    const world = this.parts.decode(this.states.vector(state));
    this.options.visit?.(world);
    this.starts.push(this.owed.length);
    this.finished.push(isFinished(world) ? 1 : 0);
    for (const turn of this.turnsOf(world)) {
      this.transitions += 1;
      let next: number;
      try {
        next = this.states.add(this.parts.encode(this.take(world, turn)), state);
      } catch (error) {
        throw error instanceof Broken ? this.counterexample(error, state, turn) : error;
      }
      if (next !== state && turn.every(({ owed }) => owed)) this.owed.push(next);
    }
    if (state % progressStates === 0) this.options.progress?.(this.states.count, state);
  }

  /** What may come in one turn: a move, or two frames in one chunk. */
  private turnsOf(world: World): Move[][] {
    const moves = movesOf(this.loop(world));
    const turns = moves.map((move) => [move]);
    if (this.configuration.framesPerTurnMax < 2) return turns;
    for (const move of moves)
      if (move.frameOf !== undefined) turns.push(...this.followed(world, move, move.frameOf));
    return turns;
  }

  private followed(world: World, move: Move, worker: number): Move[][] {
    const loop = this.loop(world);
    try {
      move.apply(loop);
    } catch (error) {
      if (error instanceof Broken) return []; // found where the move is taken alone
      throw error;
    }
    return processMoves(loop.draft, worker)
      .filter(({ frameOf }) => frameOf !== undefined)
      .map((next) => [move, next]);
  }

  private take(world: World, turn: readonly Move[]): Draft {
    const loop = this.loop(world);
    for (const move of turn) move.apply(loop);
    loop.endTurn();
    checkState(loop.draft);
    checkLiar(loop.draft);
    return loop.draft;
  }

  /** By what is owed alone: without a client, an order, another fault. */
  private checkThatAllCanEnd(): void {
    const { count } = this.states;
    const canEnd = new Uint8Array(count);
    for (let changed = true; changed; ) {
      changed = false;
      for (let state = count - 1; state >= 0; state -= 1) {
        if (canEnd[state] === 1 || !this.leadsOn(state, canEnd)) continue;
        canEnd[state] = 1;
        changed = true;
      }
    }
    const stuck = canEnd.indexOf(0);
    if (stuck === -1) return;
    const law = "from every state, what is owed brings every request to its end";
    throw new Counterexample(law, this.traceTo(stuck).labels);
  }

  private leadsOn(state: number, canEnd: Uint8Array): boolean {
    if (this.finished.at(state) === 1) return true;
    const end = this.starts.at(state + 1);
    for (let edge = this.starts.at(state); edge < end; edge += 1)
      if (canEnd[this.owed.at(edge)] === 1) return true;
    return false;
  }

  // Traces.

  private counterexample(
    { message }: Broken,
    state: number,
    turn: readonly Move[],
  ): Counterexample {
    const { world, labels } = this.traceTo(state);
    // Under the names of this trace it may be another of the moves that break the law.
    const bad = this.turnsOf(world).find((one) => this.breaks(world, one, message)) ?? turn;
    return new Counterexample(message, [...labels, labelOf(bad)]);
  }

  private breaks(world: World, turn: readonly Move[], message: string): boolean {
    try {
      this.take(world, turn);
      return false;
    } catch (error) {
      return error instanceof Broken && sameLaw(error.message, message);
    }
  }

  /** Walked again from the start, so that everyone keeps the name they had. */
  private traceTo(state: number): { world: World; labels: string[] } {
    const path: number[] = [];
    for (let at = state; at !== -1; at = this.states.parent(at)) path.unshift(at);
    const labels: string[] = [];
    let world: World = this.first();
    for (const next of path.slice(1)) {
      const step = this.stepTo(world, next);
      labels.push(labelOf(step.turn));
      world = step.world;
    }
    return { world: this.named(world), labels };
  }

  private stepTo(world: World, next: number): { turn: Move[]; world: World } {
    const named = this.named(world);
    for (const turn of this.turnsOf(named)) {
      const draft = this.take(named, turn);
      if (this.states.add(this.parts.encode(draft), -1) === next) return { turn, world: draft };
    }
    throw new Error(`no move leads to state ${next}`);
  }

  /** As between two turns, under the same names. */
  private named(world: World): World {
    return this.parts.plain(world);
  }
}

const labelOf = (turn: readonly Move[]): string =>
  turn.map(({ label }) => label).join(", and in the same turn ");

const sameLaw = (a: string, b: string): boolean => nameless(a) === nameless(b);
const nameless = (says: string): string => says.replaceAll(/\b([rw])\d+\b/g, "$1");

function isFinished({ requests }: World): boolean {
  return requests.every((one) => one === null || one.closed);
}
