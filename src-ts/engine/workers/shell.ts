/**
 * One worker: the process of its current incarnation, its link and its timers. Passes on what they say and
 * carries out what the orchestrator orders; keeps what the worker said of itself. Decides nothing.
 */
import type { Command, Input } from "../../machines/Orchestrator.js";
import type { Finish } from "../../machines/Request.js";
import type * as Worker from "../../machines/Worker.js";
import type { NativeFigures, NativeParts } from "../../worker/figures.js";
import type { Launched, LinkEvents, ProcessEvents } from "../../worker/launcher.js";
import { LinkViolation, UnsendableMessage, unpackTokens } from "../../worker/link.js";
import type {
  Abilities,
  Admission,
  FromWorker,
  LoadOptions,
  ModelSource,
  Preparation,
  SamplingDefaults,
  StepRow,
  ToWorker,
} from "../../worker/messages.js";
import type { Observers } from "../observers.js";
import type { Ports, Timer } from "../ports.js";
import { sendAdmission } from "../requests/admission.js";
import type { PromptTokens, ReadPart } from "../requests/content.js";
import { promptField } from "../requests/refusals.js";
import type { Said } from "../runner.js";
import { describeMistake } from "./mistakes.js";
import { NativeFaults } from "./native-faults.js";
import { missingParts } from "./native-parts.js";

type Of<K extends Command["kind"]> = Extract<Command, { kind: K }>;
type Message<K extends FromWorker["type"]> = Extract<FromWorker, { type: K }>;
type Telemetry = Omit<Message<"telemetry">, "type" | "native">;

export interface ShellOptions {
  id: string;
  engine: "mlx" | "fake";
  model: ModelSource;
  load: LoadOptions;
}

export interface ShellHost {
  observers: Observers;
  post(input: Input, said?: Said): void;
  /** Tokens of a step, kept until it is known whose they are. */
  arrive(workerId: string, rows: readonly StepRow[]): void;
  /** What has been read of a prompt, kept until its end. */
  read(workerId: string, slot: number, read: ReadPart): void;
  /** A prompt has become tokens; told before the orchestrator hears of it. */
  prepared(slot: number, prompt: PromptTokens): void;
}

/** What one process has said of itself. */
interface Incarnation {
  epoch: number;
  hello?: Message<"hello">;
  ready?: Message<"ready">;
  loading?: Message<"loading"> | undefined;
  telemetry?: Telemetry;
  /** The last that its native module, or what stands in for it, has counted. */
  nativeFigures?: NativeFigures | undefined;
}

export class WorkerShell {
  /** Undefined until the first launch. */
  current: Incarnation | undefined;
  /** Whether its native parts have killed it. */
  readonly nativeFaults = new NativeFaults();
  /** The last thing that went wrong, in words. */
  reason: { code: string; message: string } | undefined;
  private launched: Launched | undefined;
  private window: Timer | undefined;
  private readonly timers = new Map<Worker.Timer, Timer>();
  private waiters: (() => void)[] = [];

  constructor(
    private readonly options: ShellOptions,
    private readonly ports: Ports,
    private readonly host: ShellHost,
  ) {}

  get id(): string {
    return this.options.id;
  }

  get model(): ModelSource {
    return this.options.model;
  }

  get sampling(): SamplingDefaults | undefined {
    return this.current?.ready?.sampling;
  }

  get abilities(): Abilities | undefined {
    return this.current?.ready?.abilities;
  }

  get nativeParts(): NativeParts | undefined {
    return this.current?.ready?.native;
  }

  // Orders.

  launch(epoch: number): void {
    const current: Incarnation = { epoch };
    this.current = current;
    const { id: workerId, engine, model } = this.options;
    const native = this.nativeFaults.verdict === undefined;
    const spec = { workerId, epoch, engine, model, native };
    const { launcher } = this.ports;
    this.launched = launcher.launch(spec, this.processEvents(current), this.linkEvents(current));
  }

  kill(signal: Worker.Signal): void {
    this.launched?.process.kill(signal);
  }

  load(): void {
    this.send({ type: "load", model: this.options.model, options: this.options.load });
  }

  send(message: ToWorker): void {
    this.launched?.link.send(message);
  }

  prepare(slot: number, asked: Omit<Preparation, "id"> | undefined): void {
    if (asked === undefined) return;
    try {
      this.send({ type: "prepare", id: slot, ...asked });
    } catch (error) {
      if (!(error instanceof UnsendableMessage)) throw error;
      this.unsendable(slot, error);
    }
  }

  admit(admissions: readonly Admission[]): void {
    const send = (message: ToWorker): void => this.send(message);
    sendAdmission(send, admissions, (slot, error) => this.unsendable(slot, error));
  }

  /** What no frame holds is told as if the worker had refused it. */
  private unsendable(slot: number, { code, message }: UnsendableMessage): void {
    const said = { message: `${promptField}: ${message}`, field: promptField };
    this.host.post({ kind: "unsendable", slot, code }, said);
  }

  arm({ timer, ms }: Of<"armWorker">): void {
    this.disarm(timer);
    const fire = (): void => {
      this.timers.delete(timer);
      this.host.post({ kind: "workerTimer", workerId: this.id, timer });
    };
    this.timers.set(timer, this.ports.clock.after(ms, fire));
  }

  disarm(timer: Worker.Timer): void {
    this.timers.get(timer)?.cancel();
    this.timers.delete(timer);
  }

  armWindow(ms: number): void {
    this.disarmWindow();
    const elapsed = (): void => this.host.post({ kind: "windowElapsed", workerId: this.id });
    this.window = this.ports.clock.after(ms, elapsed);
  }

  disarmWindow(): void {
    this.window?.cancel();
    this.window = undefined;
  }

  /** No process of it is left. */
  stopped(): void {
    for (const timer of this.timers.values()) timer.cancel();
    this.timers.clear();
    const waiters = this.waiters;
    this.waiters = [];
    for (const resolve of waiters) resolve();
  }

  whenStopped(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  // News.

  blame({ mistake }: Of<"blame">): void {
    this.brokeProtocol(describeMistake(mistake));
  }

  /** Tokenizers and templates are no native parts: a prompt that kills turns none of them off. */
  processEnded({ code, signal, ordered, excused }: Of<"processEnded">, said: Said): void {
    const output = said.message ?? "";
    if (code !== 0 || output !== "") this.explainExit(code, signal, ordered, output);
    if (excused || !this.nativeFaults.died(signal, this.nativeParts)) return;
    this.log("warn", `native parts: ${this.nativeFaults.verdict}`);
  }

  loadFailed({ code = "load_failed", message = "" }: Said): void {
    this.reason = { code, message };
  }

  // What comes in.

  private linkEvents(from: Incarnation): LinkEvents {
    const { epoch } = from;
    const { id: workerId } = this;
    return {
      message: (message) => this.receive(from, message),
      stale: (frames) => this.host.post({ kind: "stale", workerId, frames }),
      violated: (reason) => this.violated(from, reason),
      closed: () => this.host.post({ kind: "closed", workerId, epoch }),
    };
  }

  private processEvents({ epoch }: Incarnation): ProcessEvents {
    const { id: workerId } = this;
    return {
      spawned: (pid) => this.host.post({ kind: "spawned", workerId, epoch, pid }),
      exited: (code, signal, message) => {
        const jitter = this.ports.random();
        this.host.post({ kind: "exited", workerId, epoch, code, signal, jitter }, { message });
      },
    };
  }

  private violated(from: Incarnation, reason: string): void {
    if (from !== this.current) return;
    this.brokeProtocol(reason);
    this.host.post({ kind: "violated", workerId: this.id, epoch: from.epoch });
  }

  private receive(from: Incarnation, message: FromWorker): void {
    const { epoch } = from;
    const { id: workerId } = this;
    const { post } = this.host;
    switch (message.type) {
      case "hello":
        from.hello = message;
        return post({ kind: "hello", workerId, epoch, protocol: message.protocol });
      case "loading": {
        from.loading = message;
        const { done, total, what } = message;
        this.host.observers.tell("loading", { workerId, model: this.model.id, done, total, what });
        return post({ kind: "loadProgress", workerId, epoch, done, total });
      }
      case "ready":
        return this.ready(from, message);
      case "loadFailed":
        return post({ kind: "loadFailed", workerId, epoch }, message);
      case "busy": {
        const { reason, allowanceMs } = message;
        this.log("debug", "worker is busy", { reason, allowanceMs });
        return post({ kind: "busy", workerId, epoch, allowanceMs });
      }
      case "telemetry": {
        const { type: _type, native, ...figures } = message;
        from.telemetry = figures;
        from.nativeFigures = native ?? from.nativeFigures;
        return;
      }
      case "blocks": {
        const { kept, evicted } = message;
        return post({ kind: "blocks", workerId, epoch, kept, evicted });
      }
      case "read":
        return this.read(message);
      case "fault":
        return this.fault(from, message);
      default:
        return this.ofRequests(from, message);
    }
  }

  private ofRequests(
    from: Incarnation,
    message: Message<"prepared" | "refused" | "prefill" | "step" | "ended" | "aborted">,
  ): void {
    const { epoch } = from;
    const { id: workerId } = this;
    const { post } = this.host;
    switch (message.type) {
      case "step": {
        const { step, rows } = message;
        this.host.arrive(workerId, rows);
        return post({
          kind: "step",
          workerId,
          epoch,
          step,
          rows: rows as unknown as [number, number][],
        });
      }
      case "prepared":
        return this.prepared(from, message);
      case "refused": {
        const { id: slot, code, message: words } = message;
        // Templates know prompts as messages; not every API does.
        const said =
          message.field === "messages"
            ? { message: words.replace(/^messages\b/, promptField), field: promptField }
            : { message: words, field: message.field };
        return post({ kind: "refused", workerId, epoch, slot, code }, said);
      }
      case "prefill": {
        const { id: slot, done, total, cached } = message;
        return post({ kind: "prefill", workerId, epoch, slot, done, total, cached });
      }
      case "ended": {
        const { id: slot, tail, stop, message: words } = message;
        const finish = finishOf(message);
        const said = { message: words, tail, stop };
        return post({ kind: "ended", workerId, epoch, slot, finish }, said);
      }
      case "aborted":
        return post({ kind: "aborted", workerId, epoch, slot: message.id });
    }
  }

  private read({ id: slot, vectors, logprobs }: Message<"read">): void {
    this.host.read(this.id, slot, { vectors, logprobs });
  }

  private prepared(
    from: Incarnation,
    { id: slot, tokens, blockHashes, lengths, text, pieces, unbounded }: Message<"prepared">,
  ): void {
    let promptTokens: Uint32Array;
    try {
      promptTokens = unpackTokens(tokens);
    } catch (error) {
      if (!(error instanceof LinkViolation)) throw error;
      return this.violated(from, error.message);
    }
    const { epoch } = from;
    const count = promptTokens.length;
    const longest = lengths && { longest: Math.max(0, ...lengths) };
    this.host.prepared(slot, { tokens: promptTokens, text, pieces });
    this.host.post(
      {
        ...{ kind: "prepared", workerId: this.id, epoch, slot },
        ...{ promptTokens: count, blockHashes, ...longest },
      },
      { promptTokens, sampling: this.sampling, unbounded, lengths },
    );
  }

  private ready(from: Incarnation, message: Message<"ready">): void {
    from.ready = message;
    from.loading = undefined;
    if (from === this.current) this.reason = undefined;
    for (const what of missingParts(message.native))
      this.log("warn", `going on without native parts: ${what}`);
    const { limits } = message;
    this.host.post({ kind: "loaded", workerId: this.id, epoch: from.epoch, limits });
  }

  // What clients are told of it has no figures; the log has.
  private fault(from: Incarnation, { code, message, native }: Message<"fault">): void {
    from.nativeFigures = native ?? from.nativeFigures;
    if (from === this.current) this.reason = { code, message };
    this.log("error", "worker fault", { code, message, native });
    if (code === outOfMemoryCode)
      this.host.post({ kind: "outOfMemory", workerId: this.id, epoch: from.epoch });
  }

  private brokeProtocol(reason: string): void {
    this.reason = { code: "link_violated", message: reason };
    this.log("error", "worker broke the protocol", { reason });
  }

  // A reason that the worker gave itself says more than its exit code.
  private explainExit(code: number, signal: string, ordered: boolean, output: string): void {
    const how = signal === "" ? `exit code ${code}` : signal;
    if (ordered && code === 0) this.log("info", "worker process ended", { how });
    else this.log("warn", "worker process ended", { how, output });
    const { loading, ready } = this.current ?? {};
    if (loading === undefined && ready === undefined && this.reason === undefined)
      this.reason = { code: "worker_exited", message: `${how}${output && `: ${output}`}` };
  }

  private log(
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields: object = {},
  ): void {
    this.host.observers.tell("log", level, message, { worker: this.id, ...fields });
  }
}

/** Code of a `fault`: the worker has run out of memory. */
const outOfMemoryCode = "out_of_memory";

function finishOf({ finish, code }: Message<"ended">): Finish {
  switch (finish) {
    case "failed":
      return { kind: "failed", code: code ?? "generation_error" };
    default:
      return { kind: finish };
  }
}
