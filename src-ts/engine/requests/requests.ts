/**
 * The content of live requests: carries out what the orchestrator orders for them. Owns prompts, tokens that
 * have come, deadlines' timers and who is told; decides nothing.
 */
import type { Command, Input } from "../../machines/Orchestrator.js";
import type { Admission, Preparation, StepRow } from "../../worker/messages.js";
import type { StoredResponse } from "../journal.js";
import type { Observers } from "../observers.js";
import type { Clock, Timer } from "../ports.js";
import type { Logs } from "../responses/logs.js";
import type { Registry } from "../responses/registry.js";
import type { Said } from "../runner.js";
import {
  type Accepted,
  admissionOf,
  asFor,
  type Identity,
  type LiveRequest,
  newTimes,
  type PromptTokens,
  type ReadPart,
  timings,
} from "./content.js";
import { withDefaults } from "./defaults.js";
import { type Explained, endingOf, isDraining, refusalOf, turnedAway } from "./refusals.js";
import { restoredRequest } from "./restored.js";

type Of<K extends Command["kind"]> = Extract<Command, { kind: K }>;

export interface RequestsHost {
  clock: Clock;
  logs: Logs;
  registry: Registry;
  observers: Observers;
  queueMax: number;
  /** Requests of different owners share what is computed of their prompts. */
  sharesPrefixes: boolean;
  post(input: Input): void;
  /** Why this worker is not ready, in words. */
  reasonOf(workerId: string): string | undefined;
}

export class Requests {
  readonly live = new Map<string, LiveRequest>();
  private readonly deadlines = new Map<string, Timer>();
  /** Requests of which only the tokens are wanted, by the slot under which they are prepared. */
  private readonly tokenizing = new Map<number, string>();
  /** What has come under a slot and is in no log yet. */
  private readonly slots = new Map<
    number,
    { workerId: string; requestId: string; rows: StepRow[] }
  >();

  constructor(private readonly host: RequestsHost) {}

  /** What a worker has sent: the orchestrator counts it, here it is kept. */
  arrive(workerId: string, rows: readonly StepRow[]): void {
    for (const row of rows) {
      const slot = this.slots.get(row[0]);
      if (slot?.workerId === workerId) slot.rows.push(row);
    }
  }

  /** What a worker has read of a prompt. */
  read(workerId: string, slotId: number, { vectors, logprobs }: ReadPart): void {
    const slot = this.slots.get(slotId);
    if (slot?.workerId !== workerId) return;
    const reading = this.accepted(slot.requestId)?.log.reading;
    if (reading === undefined) return;
    reading.vectors = vectors ?? reading.vectors;
    for (const logprob of logprobs ?? []) reading.logprobs.push(logprob);
  }

  /** What a worker is asked to prepare; undefined once that is done. */
  preparationOf({ requestId, slot }: Of<"prepare">): Omit<Preparation, "id"> | undefined {
    const request = this.live.get(requestId);
    if (request?.phase.kind !== "preparing") return undefined;
    const { settle, asked } = request.identity;
    const { spell } = settle;
    if (settle.tokenized !== undefined) this.tokenizing.set(slot, requestId);
    const { input } = request.phase;
    const { constraint } = asked;
    return {
      input,
      ...(constraint && { constraint }),
      ...(spell && { spell }),
      ...this.saltOf(request),
    };
  }

  /** A prompt is prepared: whoever wants its tokens and no more has them, and is gone before it is accepted. */
  prepared(slot: number, prompt: PromptTokens): void {
    const requestId = this.tokenizing.get(slot);
    const request = requestId === undefined ? undefined : this.live.get(requestId);
    if (request === undefined) return;
    const { id, settle } = request.identity;
    request.phase = { kind: "tokenized" };
    settle.tokenized?.(prompt);
    this.host.post({ kind: "cancel", requestId: id });
  }

  admissions(requests: Of<"admit">["requests"]) {
    return requests.flatMap(({ slot, requestId }) => {
      const request = this.live.get(requestId);
      if (request?.phase.kind !== "accepted") return [];
      return [{ ...admissionOf(request.identity, request.phase, slot), ...this.saltOf(request) }];
    });
  }

  private saltOf({ identity }: LiveRequest): Pick<Admission, "salt"> {
    return this.host.sharesPrefixes ? {} : { salt: identity.asked.owner };
  }

  add(request: LiveRequest): void {
    this.live.set(request.identity.id, request);
  }

  /** One that an earlier process accepted, as its log was left. */
  restore(stored: StoredResponse): LiveRequest {
    const { logs, registry, clock } = this.host;
    const log = logs.restore(stored);
    const request = restoredRequest(stored.acceptance, log, clock);
    this.add(request);
    registry.restore(log, stored.acceptance);
    return request;
  }

  /** One that had ended already, `ageMs` ago. */
  restoreEnded(stored: StoredResponse, ageMs: number): void {
    const log = this.host.logs.restore(stored);
    this.host.registry.restore(log, stored.acceptance);
    this.host.registry.ended(log, ageMs);
  }

  armDeadline({ requestId, ms }: Of<"armDeadline">): void {
    const passed = (): void => this.host.post({ kind: "deadline", requestId });
    this.deadlines.set(requestId, this.host.clock.after(ms, passed));
  }

  size({ requestId, tokensMax: maxTokens, cost }: Of<"size">, said: Said): void {
    const request = this.live.get(requestId);
    const { promptTokens, lengths, unbounded: isUnbounded = false } = said;
    if (request === undefined || promptTokens === undefined) return;
    const sampling = withDefaults(request.identity.asked.sampling, said.sampling);
    const prompt = { promptTokens, maxTokens, sampling, cost, isUnbounded, lengths };
    request.phase = { kind: "prepared", prompt };
  }

  store({ requestId }: Of<"store">): void {
    const request = this.live.get(requestId);
    if (request?.phase.kind !== "prepared") return;
    const { prompt } = request.phase;
    const log = this.host.logs.store(
      { ...request.identity, ...prompt },
      {
        onStored: () => this.host.post({ kind: "stored", requestId }),
        onUnstorable: () => this.host.post({ kind: "unstorable", requestId }),
      },
    );
    request.phase = { kind: "storing", prompt, log };
  }

  accept({ requestId }: Of<"accept">): void {
    const request = this.live.get(requestId);
    if (request === undefined || !("prompt" in request.phase)) return;
    const { identity, phase } = request;
    const { prompt } = phase;
    const { registry, observers, logs, clock } = this.host;
    const log = phase.kind === "storing" ? phase.log : logs.create({ ...identity, ...prompt });
    log.isUnbounded = prompt.isUnbounded ?? false;
    const times = newTimes(identity.arrivedAt);
    request.phase = { kind: "accepted", prompt, log, times };
    registry.add(log, identity.asked.abandonment, identity.idempotencyId);
    observers.tell("accepted", log, { queuedMs: clock.now() - identity.arrivedAt });
    identity.settle.accept(log);
  }

  queued({ requestId }: Of<"queued">): void {
    this.accepted(requestId)?.log.queued();
  }

  lease({ requestId, workerId, slot, first }: Of<"lease">): void {
    const request = this.accepted(requestId);
    if (request === undefined) return;
    const { log, times } = request;
    this.slots.set(slot, { workerId, requestId, rows: [] });
    if (this.live.get(requestId)?.identity.asked.reading !== undefined)
      log.reading = { vectors: undefined, logprobs: [] };
    times.startedAt ??= this.host.clock.now();
    if (first) log.inProgress();
    else {
      const tokens = request.prompt.promptTokens.length + log.emitted.length;
      this.host.observers.tell("replayed", log, { tokens });
    }
  }

  cached({ requestId, tokens }: Of<"cached">): void {
    const log = this.accepted(requestId)?.log;
    if (log !== undefined) log.cachedTokens = tokens;
  }

  append({ requestId, slot, count }: Of<"append">): void {
    const request = this.live.get(requestId);
    const rows = this.take(slot, count);
    if (request?.phase.kind !== "accepted" || rows.length < count)
      throw new Error(`request ${requestId}: ${rows.length} tokens of ${count} have come`);
    const { log, times } = request.phase;
    const now = this.host.clock.now();
    const first = times.firstTokenAt === undefined;
    times.firstTokenAt ??= now;
    log.emit(rows);
    const gapMs = now - (first ? request.identity.arrivedAt : times.lastDeltaAt);
    times.lastDeltaAt = now;
    this.host.observers.tell("delta", log, { tokens: count, gapMs, first });
  }

  discard({ slot, count }: Of<"discard">): void {
    this.take(slot, count);
  }

  migrated({ requestId, attempt, loss }: Of<"migrated">): void {
    const request = this.live.get(requestId);
    if (request?.phase.kind !== "accepted") return;
    const { log } = request.phase;
    log.notify({ kind: "migrated", attempt, reason: loss });
    const { origin } = request.identity.asked;
    this.host.observers.tell("migrated", log, { attempt, reason: loss, origin });
  }

  release({ slot }: Of<"release">): void {
    this.slots.delete(slot);
  }

  interrupt({ requestId }: Of<"interrupt">): void {
    this.accepted(requestId)?.log.interrupt(isDraining());
  }

  close({ requestId, finish, explanation }: Of<"close">, said: Said): void {
    const request = this.remove(requestId);
    if (request === undefined) return;
    const { identity, phase } = request;
    if (phase.kind === "tokenized") return;
    if (phase.kind === "storing") phase.log.discard();
    const explained = this.explained(explanation, said, identity);
    if (phase.kind !== "accepted") return this.refuse(identity, refusalOf(finish, explained));
    const { log, times } = phase;
    const whole = finish.kind === "stop" || finish.kind === "length" || finish.kind === "toolCalls";
    const { clock, observers } = this.host;
    const ending = endingOf(finish, explained);
    log.end(ending, whole ? (said.tail ?? "") : "", clock.wall());
    const { usage, calls } = log;
    const measured = timings(identity, times, clock.now());
    const info = { ending, usage, calls, ...measured, ...asFor(identity) };
    observers.tell("ended", log, info);
  }

  turnAway({ requestId, explanation }: Of<"turnAway">): void {
    const request = this.remove(requestId);
    if (request === undefined) return;
    this.refuse(request.identity, turnedAway(this.explained(explanation, {}, request.identity)));
  }

  private accepted(requestId: string): Accepted | undefined {
    const phase = this.live.get(requestId)?.phase;
    return phase?.kind === "accepted" ? phase : undefined;
  }

  private remove(requestId: string): LiveRequest | undefined {
    const request = this.live.get(requestId);
    this.live.delete(requestId);
    this.deadlines.get(requestId)?.cancel();
    this.deadlines.delete(requestId);
    if (request?.identity.settle.tokenized !== undefined) this.forgetSlots(requestId);
    return request;
  }

  /** It may have been sent to several workers, one after another. */
  private forgetSlots(requestId: string): void {
    for (const [slot, id] of this.tokenizing) if (id === requestId) this.tokenizing.delete(slot);
  }

  /** The oldest rows that have come: nearly always all of them. */
  private take(slotId: number, count: number): StepRow[] {
    const slot = this.slots.get(slotId);
    if (slot === undefined) return [];
    const { rows } = slot;
    if (rows.length > count) return rows.splice(0, count);
    slot.rows = [];
    return rows;
  }

  private explained(
    explanation: Explained["explanation"],
    said: Said,
    { asked }: Identity,
  ): Explained {
    const { queueMax, reasonOf } = this.host;
    const reason = explanation.kind === "noWorker" ? reasonOf(explanation.workerId) : undefined;
    const { constraintName, toolField } = asked;
    return { explanation, said, queueMax, reason, constraintName, toolField };
  }

  private refuse(identity: Identity, refusal: ReturnType<typeof refusalOf>): void {
    const { code, status } = refusal;
    const { id, modelId: model, arrivedAt, settle } = identity;
    // What is only counted is no request to whoever watches.
    const watched =
      settle.tokenized === undefined
        ? { id, afterMs: this.host.clock.now() - arrivedAt, ...asFor(identity) }
        : {};
    this.host.observers.tell("refused", { code, status, model, ...watched });
    settle.refuse(refusal);
  }
}
