import { expect } from "vitest";
import type { Effect, Event, State, Timer } from "../../src-ts/machines/Worker.js";
import { defaultPolicy, initial, protocol, transition } from "../../src-ts/machines/Worker.js";
import { deepFreeze } from "./support.js";
import { timersOf } from "./Worker.fixtures.js";

interface Process {
  readonly epoch: number;
  told: boolean;
  greeted: boolean;
  loaded: boolean;
  linked: boolean;
  /** It was asked to stop, or killed: it may go now. */
  ordered: boolean;
}

/**
 * A worker machine, an operating system and a clock. Timers fire when they are due, processes live
 * from `spawn` to their exit, nobody says what it could not say. Each law is checked at each step.
 */
export class World {
  state: State = initial(defaultPolicy);
  now = 0;
  process: Process | undefined;
  readonly timers = new Map<Timer, number>();
  private readonly lost = new Set<number>();
  private readonly wasReady = new Set<number>();
  private available = false;

  say(event: Event): boolean {
    const outcome = transition(deepFreeze(this.state), deepFreeze(event));
    if (!outcome.ok) {
      if (outcome.rejection.kind === "illegal")
        throw new Error(`illegal: ${JSON.stringify([this.state, event])}`);
      return false;
    }
    this.state = outcome.state;
    for (const effect of outcome.effects) this.obey(effect);
    this.check();
    return true;
  }

  get epoch(): number {
    return this.state.memory.epoch;
  }

  private obey(effect: Effect): void {
    if ("epoch" in effect) expect(effect.epoch, "no order for another epoch").toBeGreaterThan(0);
    switch (effect.kind) {
      case "spawn":
        expect(this.process, "one live process").toBeUndefined();
        this.process = {
          epoch: effect.epoch,
          told: false,
          greeted: false,
          loaded: false,
          linked: true,
          ordered: false,
        };
        return;
      case "askStop":
      case "kill":
        expect(this.process?.epoch).toBe(effect.epoch);
        this.process!.ordered = true;
        return;
      case "load":
        expect(this.process?.epoch).toBe(effect.epoch);
        return;
      case "arm":
        expect(effect.ms).toBeGreaterThanOrEqual(0);
        this.timers.set(effect.timer, this.now + effect.ms);
        return;
      case "disarm":
        this.timers.delete(effect.timer);
        return;
      case "available":
        expect(this.available, "available and unavailable alternate").toBe(false);
        this.available = true;
        this.wasReady.add(this.epoch);
        return;
      case "unavailable":
        expect(this.available, "available and unavailable alternate").toBe(true);
        this.available = false;
        return;
      case "lose":
        expect(this.wasReady.has(effect.epoch), "only what was ready is lost").toBe(true);
        expect(this.lost.has(effect.epoch), "and once").toBe(false);
        this.lost.add(effect.epoch);
        return;
      case "finishWork":
        expect(this.state.kind, "who finishes its work drains").toBe("draining");
        return;
      case "report":
        return;
    }
  }

  private check(): void {
    expect([...this.timers.keys()].toSorted()).toEqual(timersOf(this.state).toSorted());
    expect(this.available).toBe(this.state.kind === "ready");
    const living = !["stopped", "backoff", "broken"].includes(this.state.kind);
    expect(this.process !== undefined, "a process exactly while one is expected").toBe(living);
    const up = ["ready", "suspect", "draining"].includes(this.state.kind);
    const wrong = [...this.wasReady].filter(
      (epoch) => this.lost.has(epoch) === (up && epoch === this.epoch),
    );
    expect(wrong, "lost exactly once it is no longer up").toEqual([]);
  }

  /** Lets time pass; timers fire on their way. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let fired = 0; fired < 1_000; fired += 1) {
      const [next] = [...this.timers].toSorted(([, a], [, b]) => a - b);
      if (!next || next[1] > end) break;
      this.fire(next[0]);
    }
    this.now = Math.max(this.now, end);
  }

  fire(timer: Timer): void {
    this.now = Math.max(this.now, this.timers.get(timer)!);
    this.timers.delete(timer);
    this.say({ kind: "timer", timer, at: this.now });
  }

  exit(jitter: number): void {
    if (!this.process) return;
    const { epoch } = this.process;
    this.process = undefined;
    this.say({ kind: "exited", epoch, code: 0, signal: "SIGKILL", at: this.now, jitter });
  }

  /** What a healthy process of this epoch says next on its way up. */
  rise(): void {
    const { process } = this;
    if (!process || process.ordered) return;
    const { epoch } = process;
    if (!process.told) {
      process.told = true;
      this.say({ kind: "spawned", epoch, pid: 7 });
    } else if (!process.greeted) {
      process.greeted = true;
      this.say({ kind: "hello", epoch, protocol });
    } else if (!process.loaded) {
      process.loaded = true;
      this.say({ kind: "loaded", epoch, at: this.now });
    }
  }

  /** What only a process that has come so far can say. */
  speak(stage: "greeted" | "loaded", event: (epoch: number, at: number) => Event): void {
    const { process } = this;
    if (!process?.[stage]) return;
    if (stage === "greeted" && process.loaded) return;
    this.say(event(process.epoch, this.now));
  }

  /** The loop tells the load of a worker that is up. */
  hold(count: number, preparing = 0): void {
    if (["ready", "suspect", "draining"].includes(this.state.kind))
      this.say({ kind: "pending", epoch: this.epoch, count, preparing, at: this.now });
  }

  breakLink(kind: "violated" | "closed"): void {
    if (!this.process?.linked) return;
    this.process.linked = false;
    this.say({ kind, epoch: this.process.epoch });
  }

  ghost(event: (epoch: number, at: number) => Event): void {
    if (this.epoch < 2) return;
    const before = this.state;
    expect(this.say(event(this.epoch - 1, this.now)), "old incarnations are not heard").toBe(false);
    expect(this.state).toBe(before);
  }

  start(): void {
    if (["stopped", "backoff", "broken", "stopping"].includes(this.state.kind))
      this.say({ kind: "start" });
  }

  /** The system does as it was told; a process that was not told to go stays. */
  settle(): void {
    for (let turn = 0; turn < 5 && this.process?.ordered; turn += 1) this.exit(0.5);
  }
}
