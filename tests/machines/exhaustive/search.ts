/**
 * Breadth-first search of everything that may happen: every state, every move out of it, every law in
 * every state; in the end, from every state a way on which all that is owed gets done. Complete, or it throws.
 *
 * The first orchestrator that gets to a state stands for it and lives until all moves out of it are made: each on a
 * copy. Afterwards the state is a vector, and a way back is walked from the start.
 */
import {
  copy,
  type Orchestrator,
  type View,
  view as viewOf,
} from "../../../src-ts/machines/Orchestrator.js";
import type { Configuration } from "./configuration.js";
import { Broken, Draft } from "./draft.js";
import { Engine } from "./engine.js";
import { checkState, checkTurn } from "./laws.js";
import { choosePlan } from "./liberties.js";
import { movesOf } from "./moves.js";
import { Parts } from "./parts.js";
import { processMoves } from "./process.js";
import { Numbers, States } from "./states.js";
import { tidy } from "./tidy.js";
import type { Move } from "./wire.js";
import { emptyWorld, type World } from "./world.js";

export { Parts };

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
  /** Called for every state, once. */
  readonly visit?: (world: World, view: View) => void;
  /** Called now and then. */
  readonly progress?: (states: number, done: number) => void;
}

export function search(configuration: Configuration, options: SearchOptions = {}): Found {
  choosePlan(configuration.plan);
  return new Search(configuration, options).run();
}

const progressStates = 200_000;

/** Between two turns. */
interface Node {
  readonly world: World;
  readonly orchestrator: Orchestrator;
  readonly view: View;
}

/** What comes in one turn, made but not ended. */
interface Taken {
  readonly moves: readonly Move[];
  readonly make: () => Engine;
}

class Search {
  private readonly parts: Parts;
  private readonly states: States;
  /** Of each state that is not expanded yet. */
  private readonly nodes: (Node | undefined)[] = [];
  /** Which of its parent's turns led to a state first. */
  private readonly turns = new Numbers();
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
  }

  run(): Found {
    const began = performance.now();
    this.add(this.first(), -1, 0);
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
  private first(): Node {
    const turn = Engine.make(new Draft(emptyWorld(this.configuration), this.configuration));
    turn.post({ kind: "start" });
    turn.end();
    const { draft, orchestrator } = turn;
    const view = viewOf(orchestrator);
    checkState(draft, view);
    return { world: draft, orchestrator, view };
  }

  /** To look at: it is not changed. */
  private look({ world, orchestrator }: Node): Engine {
    return new Engine(new Draft(world, this.configuration), orchestrator);
  }

  private begin({ world, orchestrator }: Node): Engine {
    return new Engine(new Draft(world, this.configuration), copy(orchestrator));
  }

  private expand(state: number): void {
    const node = this.nodes[state]!;
    this.nodes[state] = undefined;
    this.options.visit?.(node.world, node.view);
    this.starts.push(this.owed.length);
    this.finished.push(isFinished(node.world) ? 1 : 0);
    let number = 0;
    for (const taken of this.turnsOf(node)) {
      this.transitions += 1;
      const next = this.follow(state, taken, number, node.view);
      if (next !== state && taken.moves.every(({ owed }) => owed)) this.owed.push(next);
      number += 1;
    }
    if (state % progressStates === 0) this.options.progress?.(this.states.count, state);
  }

  private follow(state: number, taken: Taken, number: number, view: View): number {
    try {
      return this.add(this.take(taken, view), state, number);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      const labels = [...this.traceTo(state), labelOf(taken.moves)];
      throw new Counterexample(error.message, labels);
    }
  }

  private add(node: Node, parent: number, number: number): number {
    const { count } = this.states;
    const vector = this.parts.encode(node.world, node.view);
    const state = this.states.add(vector, parent);
    if (state === count) {
      this.nodes[state] = node;
      this.turns.push(number);
    }
    return state;
  }

  /** What may come in one turn: a move, or two frames in one chunk. */
  private *turnsOf(node: Node): Iterable<Taken> {
    const pairs = this.configuration.framesPerTurnMax > 1;
    for (const move of movesOf(this.look(node), node.view)) {
      const make = (): Engine => {
        const turn = this.begin(node);
        move.apply(turn);
        return turn;
      };
      yield { moves: [move], make };
      if (pairs && move.frameOf !== undefined) yield* this.followed(move, make, move.frameOf);
    }
  }

  private *followed(first: Move, make: () => Engine, worker: number): Iterable<Taken> {
    const between = make();
    for (const move of processMoves(between, worker)) {
      if (move.frameOf === undefined) continue;
      yield {
        moves: [first, move],
        make: () => {
          const turn = between.copy();
          move.apply(turn);
          return turn;
        },
      };
    }
  }

  private take({ make }: Taken, before: View): Node {
    const turn = make();
    turn.end();
    const { draft, orchestrator } = turn;
    tidy(draft);
    const view = viewOf(orchestrator);
    checkState(draft, view);
    checkTurn(draft, before, view);
    return { world: draft, orchestrator, view };
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
    throw new Counterexample(law, this.traceTo(stuck));
  }

  private leadsOn(state: number, canEnd: Uint8Array): boolean {
    if (this.finished.at(state) === 1) return true;
    const end = this.starts.at(state + 1);
    for (let edge = this.starts.at(state); edge < end; edge += 1)
      if (canEnd[this.owed.at(edge)] === 1) return true;
    return false;
  }

  /** Walked again from the start. */
  private traceTo(state: number): string[] {
    const path: number[] = [];
    for (let at = state; this.states.parent(at) !== -1; at = this.states.parent(at))
      path.unshift(this.turns.at(at));
    const labels: string[] = [];
    let node = this.first();
    for (const number of path) {
      const taken = nth(this.turnsOf(node), number);
      labels.push(labelOf(taken.moves));
      node = this.take(taken, node.view);
    }
    return labels;
  }
}

function nth<T>(values: Iterable<T>, wanted: number): T {
  let index = 0;
  for (const value of values) {
    if (index === wanted) return value;
    index += 1;
  }
  throw new Error(`there is no turn ${wanted}`);
}

const labelOf = (moves: readonly Move[]): string =>
  moves.map(({ label }) => label).join(", and in the same turn ");

function isFinished({ requests }: World): boolean {
  return requests.every((one) => one === null || one.closed || one.interrupted);
}
