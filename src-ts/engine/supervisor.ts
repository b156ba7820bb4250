/**
 * One worker: its machine's state, the process of its current incarnation and its timers. Runs the
 * machine's effects; what concerns requests goes to the host. Knows no request.
 */
import * as Worker from "../machines/Worker.js";
import type {
  Abilities,
  FromWorker,
  LoadOptions,
  ModelSource,
  NativeFigures,
  NativeParts,
  SamplingDefaults,
  ToWorker,
} from "../worker/messages.js";
import type { WorkerEvents, WorkerProcess } from "../worker/port.js";
import { NativeFaults } from "./native-faults.js";
import { missingParts } from "./native-parts.js";
import type { Ports, Timer } from "./ports.js";

/** What a worker says about requests. */
export type RequestMessage = Extract<
  FromWorker,
  { type: "prepared" | "aborted" | "prefill" | "step" | "ended" | "refused" }
>;

export interface SupervisorHost {
  available(worker: Supervisor): void;
  unavailable(worker: Supervisor): void;
  /** Everything this incarnation held is lost. */
  lost(worker: Supervisor, fault: Worker.Fault, epoch: number): void;
  message(worker: Supervisor, message: RequestMessage): void;
  changed(worker: Supervisor, from: Worker.State, to: Worker.State): void;
  report(worker: Supervisor, fault: Worker.Fault, fatal: boolean): void;
  rejected(worker: Supervisor, kind: string, state: string, event: string): void;
  log(level: "debug" | "info" | "warn" | "error", message: string, fields: object): void;
  loading(worker: Supervisor): void;
  /** The model can't be loaded; `worker.reason` says why. */
  loadFailed(worker: Supervisor): void;
}

export interface SupervisorOptions {
  id: string;
  engine: "mlx" | "fake";
  model: ModelSource;
  load: LoadOptions;
  policy: Worker.Policy;
}

/** What the loaded model and its memory allow. */
export type Limits = Extract<FromWorker, { type: "ready" }>["limits"];

type Telemetry = Omit<Extract<FromWorker, { type: "telemetry" }>, "type" | "native">;

export class Supervisor {
  state: Worker.State;
  /** Of the current incarnation; undefined until it has said so. */
  hello: Extract<FromWorker, { type: "hello" }> | undefined;
  limits: Limits | undefined;
  sampling: SamplingDefaults | undefined;
  loading: { done: number; total: number; what: string } | undefined;
  telemetry: Telemetry | undefined;
  /** Which native parts it uses. */
  nativeParts: NativeParts | undefined;
  /** What its model was seen to do. */
  abilities: Abilities | undefined;
  /** The last that its native module, or the module's twin, has counted. */
  nativeFigures: NativeFigures | undefined;
  /** Whether its native parts have killed it. */
  readonly nativeFaults = new NativeFaults();
  /** The last thing that went wrong, in words. */
  reason: { code: string; message: string } | undefined;
  /** It could take new work. */
  available = false;
  /** It shall; the others stand by. The roster says which. */
  onDuty = false;
  /** It prepares a prompt that may have killed another, and takes nobody beside it. */
  trying = false;
  spawns = 0;
  private process: WorkerProcess | undefined;
  private readonly timers = new Map<Worker.Timer, Timer>();
  private readonly inbox: Worker.Event[] = [];
  private draining = false;
  private pending = { count: 0, preparing: 0 };
  private waiters: (() => void)[] = [];

  constructor(
    private readonly options: SupervisorOptions,
    private readonly ports: Ports,
    private readonly host: SupervisorHost,
  ) {
    this.state = Worker.initial(options.policy);
  }

  get id(): string {
    return this.options.id;
  }

  get model(): ModelSource {
    return this.options.model;
  }

  get epoch(): number {
    return this.state.memory.epoch;
  }

  get pid(): number | undefined {
    const { state } = this;
    const pid = "duty" in state ? state.duty.pid : "pid" in state ? state.pid : 0;
    return pid === 0 ? undefined : pid;
  }

  /** Up, and one of those that work. */
  get inService(): boolean {
    return this.available && this.onDuty;
  }

  /** Takes new work right now. */
  get accepting(): boolean {
    return this.inService && !this.trying;
  }

  send(message: ToWorker): void {
    this.process?.send(message);
  }

  post(event: Worker.Event): void {
    this.inbox.push(event);
    if (this.draining) return;
    this.draining = true;
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      this.step(next);
    }
    this.draining = false;
  }

  /** Prompts that it is preparing. */
  get preparing(): number {
    return this.pending.preparing;
  }

  /** How many requests it holds, prepared or running; `preparing`: of them, the former. */
  holds(count: number, preparing: number): void {
    if (count === this.pending.count && preparing === this.pending.preparing) return;
    this.pending = { count, preparing };
    // What an incarnation held when it was lost is nothing to the next one.
    if (!("duty" in this.state)) return;
    this.post({ kind: "pending", epoch: this.epoch, count, preparing, at: this.ports.clock.now() });
  }

  /** The worker said something that can't be true: it is broken. */
  condemn(reason: string): void {
    this.reason = { code: "link_violated", message: reason };
    this.host.log("error", "worker broke the protocol", { worker: this.id, reason });
    this.post({ kind: "violated", epoch: this.epoch });
  }

  /** Resolves when no process of this worker remains. */
  stop(): Promise<void> {
    this.post({ kind: "stop" });
    if (this.state.kind === "stopped") return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  private step(event: Worker.Event): void {
    const from = this.state;
    const outcome = Worker.transition(from, event);
    if (!outcome.ok) {
      this.reject(outcome.rejection, event);
      return;
    }
    this.state = outcome.state;
    for (const effect of outcome.effects) this.run(effect);
    if (from.kind !== this.state.kind) this.host.changed(this, from, this.state);
    if (this.state.kind === "stopped") this.rest();
  }

  private reject(rejection: Worker.Rejection, event: Worker.Event): void {
    this.host.rejected(this, rejection.kind, this.state.kind, event.kind);
    if (rejection.kind !== "illegal" || !saidByWorkers.has(event.kind)) return;
    this.condemn(`${event.kind} while ${this.state.kind}`);
  }

  private rest(): void {
    for (const timer of this.timers.values()) timer.cancel();
    this.timers.clear();
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }

  private run(effect: Worker.Effect): void {
    switch (effect.kind) {
      case "spawn":
        return this.spawn(effect.epoch);
      case "load":
        return this.send({ type: "load", model: this.options.model, options: this.options.load });
      case "askDrain":
        return this.send({ type: "drain" });
      case "askStop":
        return this.send({ type: "stop" });
      case "kill":
        this.process?.kill(effect.signal);
        return;
      case "arm":
        return this.arm(effect.timer, effect.ms);
      case "disarm":
        this.timers.get(effect.timer)?.cancel();
        this.timers.delete(effect.timer);
        return;
      case "available":
        this.available = true;
        return this.host.available(this);
      case "unavailable":
        this.available = false;
        return this.host.unavailable(this);
      case "lose":
        this.available = false;
        this.pending = { count: 0, preparing: 0 };
        return this.host.lost(this, effect.fault, effect.epoch);
      case "report":
        return this.host.report(this, effect.fault, effect.fatal);
    }
  }

  private arm(timer: Worker.Timer, ms: number): void {
    this.timers.get(timer)?.cancel();
    const fire = (): void => {
      this.timers.delete(timer);
      this.post({ kind: "timer", timer, at: this.ports.clock.now() });
    };
    this.timers.set(timer, this.ports.clock.after(ms, fire));
  }

  private spawn(epoch: number): void {
    this.spawns++;
    this.hello = undefined;
    this.limits = undefined;
    this.loading = undefined;
    this.telemetry = undefined;
    this.nativeParts = undefined;
    this.abilities = undefined;
    this.nativeFigures = undefined;
    this.pending = { count: 0, preparing: 0 };
    const { id: workerId, engine, model } = this.options;
    const native = this.nativeFaults.verdict === undefined;
    const spec = { workerId, epoch, engine, model, native };
    this.process = this.ports.workers.spawn(spec, this.events(epoch));
  }

  private events(epoch: number): WorkerEvents {
    return {
      spawned: (pid) => this.post({ kind: "spawned", epoch, pid }),
      message: (message) => {
        if (epoch === this.epoch) this.receive(message, epoch);
        else this.dropped(1);
      },
      stale: (frames) => this.dropped(frames),
      violated: (reason) => {
        if (epoch === this.epoch) this.condemn(reason);
      },
      closed: () => this.post({ kind: "closed", epoch }),
      exited: (code, signal, message) => {
        const { clock, random } = this.ports;
        if (code !== 0 || message !== "") this.explainExit(code, signal, message);
        this.judgeNative(signal);
        this.post({
          kind: "exited",
          epoch,
          code,
          signal,
          at: clock.now(),
          jitter: random(),
        });
      },
    };
  }

  /** It fell over, or does right now, while it was preparing somebody. */
  private get isExcused(): boolean {
    const { state } = this;
    return state.kind === "stopping" ? state.excused : "duty" in state && state.duty.preparing > 0;
  }

  private dropped(frames: number): void {
    for (let i = 0; i < frames; i++) this.host.rejected(this, "stale", this.state.kind, "frame");
  }

  // Tokenizers and templates are none of them: a prompt that kills turns no native part off.
  private judgeNative(signal: string): void {
    if (this.isExcused || !this.nativeFaults.died(signal, this.nativeParts)) return;
    const { verdict } = this.nativeFaults;
    this.host.log("warn", `native parts: ${verdict}`, { worker: this.id });
  }

  // A reason that the worker gave itself says more than its exit code.
  private explainExit(code: number, signal: string, message: string): void {
    const how = signal === "" ? `exit code ${code}` : signal;
    const { state } = this;
    const ordered = state.kind === "stopping" && state.fault === "stopped" && code === 0;
    if (ordered) this.host.log("info", "worker process ended", { worker: this.id, how });
    else this.host.log("warn", "worker process ended", { worker: this.id, how, output: message });
    if (this.loading === undefined && this.limits === undefined && this.reason === undefined)
      this.reason = { code: "worker_exited", message: `${how}${message && `: ${message}`}` };
  }

  private receive(message: FromWorker, epoch: number): void {
    const at = this.ports.clock.now();
    switch (message.type) {
      case "hello":
        this.hello = message;
        return this.post({ kind: "hello", epoch, protocol: message.protocol });
      case "loading":
        this.loading = message;
        this.host.loading(this);
        return this.post({ kind: "loadProgress", epoch, done: message.done, total: message.total });
      case "ready":
        this.sampling = message.sampling;
        this.nativeParts = message.native;
        this.abilities = message.abilities;
        this.warnOfMissing(message.native);
        return this.loaded(message.limits, epoch, at);
      case "loadFailed":
        this.reason = { code: message.code, message: message.message };
        this.host.loadFailed(this);
        return this.post({ kind: "loadFailed", epoch });
      case "busy":
        return this.post({ kind: "busy", epoch, allowanceMs: message.allowanceMs, at });
      case "telemetry": {
        const { type: _type, native, ...figures } = message;
        this.telemetry = figures;
        this.nativeFigures = native ?? this.nativeFigures;
        return;
      }
      case "pong":
        return;
      case "fault":
        return this.faulted(message);
      default:
        this.post({ kind: "progressed", epoch, at });
        return this.host.message(this, message);
    }
  }

  private warnOfMissing(parts: NativeParts): void {
    for (const what of missingParts(parts)) {
      this.host.log("warn", `going on without native parts: ${what}`, { worker: this.id });
    }
  }

  // What clients are told of it has no figures; the log has.
  private faulted({ code, message, native }: Extract<FromWorker, { type: "fault" }>): void {
    this.reason = { code, message };
    this.nativeFigures = native ?? this.nativeFigures;
    this.host.log("error", "worker fault", { worker: this.id, ...this.reason, native });
  }

  private loaded(limits: Limits, epoch: number, at: number): void {
    this.limits = limits;
    this.loading = undefined;
    this.reason = undefined;
    const { contextMax, kvBytesPerToken, kvBytesFixed, weightsBytes } = limits;
    const capabilities = { contextMax, kvBytesPerToken, kvBytesFixed, weightsBytes };
    this.post({ kind: "loaded", epoch, capabilities, at });
  }
}

/** What only the worker itself may say: when it is illegal, the worker is broken. */
export const saidByWorkers: ReadonlySet<Worker.Event["kind"]> = new Set([
  "hello",
  "loadProgress",
  "loaded",
  "loadFailed",
  "progressed",
  "busy",
]);
