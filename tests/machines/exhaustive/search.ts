/**
 * Breadth-first search of everything that may happen: every state, every move out of it, every law in
 * every state; in the end, from every state a way on which all that is owed gets done. Complete, or it throws.
 *
 * The first way to a state stands for it. An orchestrator lives while states that were found from it wait to be
 * expanded: the step to each is then made again. All else is vectors, and a trace is walked from the start.
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
}

/** With what is to be seen of it, which is made anew rather than kept. */
interface Shown extends Node {
  readonly view: View;
}

const shown = ({ world, orchestrator }: Node): Shown => ({
  world,
  orchestrator,
  view: viewOf(orchestrator),
});

function between({ draft, orchestrator }: Engine): Shown {
  const { requests, workers, server, now } = draft;
  return shown({ world: { requests, workers, server, now }, orchestrator });
}

/** What comes in one turn, made but not ended. */
interface Taken {
  readonly moves: readonly Move[];
  readonly make: () => Engine;
}

class Search {
  private readonly parts: Parts;
  private readonly states: States;
  /** Of each state that has led to others first, until they are expanded. */
  private readonly parents: (Node | undefined)[] = [];
  /** Those that are expanded now: they come one after another, and so do the turns to them. */
  private family: { readonly parent: number; readonly turns: readonly Taken[] } | undefined;
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
  private first(): Shown {
    const turn = Engine.make(new Draft(emptyWorld(this.configuration), this.configuration));
    turn.post({ kind: "start" });
    turn.end();
    const first = between(turn);
    checkState(turn.draft, first.view);
    return first;
  }

  /** To look at: it is not changed. */
  private look({ world, orchestrator }: Node): Engine {
    return new Engine(new Draft(world, this.configuration), orchestrator);
  }

  private begin({ world, orchestrator }: Node): Engine {
    return new Engine(new Draft(world, this.configuration), copy(orchestrator));
  }

  private expand(state: number): void {
    const node = this.again(state);
    const { count } = this.states;
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
    if (this.states.count > count)
      this.parents[state] = { world: node.world, orchestrator: node.orchestrator };
    if (state % progressStates === 0) this.options.progress?.(this.states.count, state);
  }

  /** By the last step on the first way to it. */
  private again(state: number): Shown {
    const parent = this.states.parent(state);
    if (parent === -1) return this.first();
    if (this.family?.parent !== parent) {
      if (this.family !== undefined) this.parents[this.family.parent] = undefined;
      this.family = { parent, turns: [...this.turnsOf(shown(this.parents[parent]!))] };
    }
    return this.made(this.family.turns[this.turns.at(state)]!).after;
  }

  private made({ make }: Taken): { draft: Draft; after: Shown } {
    const turn = make();
    turn.end();
    tidy(turn.draft);
    return { draft: turn.draft, after: between(turn) };
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

  private add({ world, view }: Shown, parent: number, number: number): number {
    const { count } = this.states;
    const vector = this.parts.encode(world, view);
    const state = this.states.add(vector, parent);
    if (state === count) this.turns.push(number);
    return state;
  }

  /** What may come in one turn: a move, or two frames in one chunk. */
  private *turnsOf(node: Shown): Iterable<Taken> {
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
    const halfway = make();
    for (const move of processMoves(halfway, worker)) {
      if (move.frameOf === undefined) continue;
      yield {
        moves: [first, move],
        make: () => {
          const turn = halfway.copy();
          move.apply(turn);
          return turn;
        },
      };
    }
  }

  private take(taken: Taken, before: View): Shown {
    const { draft, after } = this.made(taken);
    checkState(draft, after.view);
    checkTurn(draft, before, after.view);
    return after;
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
