/**
 * The content of live requests: carries out what the orchestrator orders for them. Owns prompts, tokens that
 * have come, deadlines' timers and who is told; decides nothing.
 */
import type { Command, Input } from "../../machines/Orchestrator.js";
import type { Preparation, StepRow } from "../../worker/messages.js";
import type { StoredResponse } from "../journal.js";
import type { Observers } from "../observers.js";
import type { Clock } from "../ports.js";
import type { Logs } from "../responses/logs.js";
import type { Registry } from "../responses/registry.js";
import type { Said } from "../runner.js";
import { admissionOf, arrivedIn, type LiveRequest, nothingToPrepare, timings } from "./content.js";
import { withDefaults } from "./defaults.js";
import { type Explained, endingOf, isDraining, refusalOf, turnedAway } from "./refusals.js";

type Of<K extends Command["kind"]> = Extract<Command, { kind: K }>;

export interface RequestsHost {
  clock: Clock;
  logs: Logs;
  registry: Registry;
  observers: Observers;
  queueMax: number;
  post(input: Input): void;
  /** Why this worker is not ready, in words. */
  reasonOf(workerId: string): string | undefined;
}

export class Requests {
  readonly live = new Map<string, LiveRequest>();
  /** What has come under a slot and is in no log yet. */
  private readonly slots = new Map<number, { workerId: string; rows: StepRow[] }>();

  constructor(private readonly host: RequestsHost) {}

  /** What a worker has sent: the orchestrator counts it, here it is kept. */
  arrive(workerId: string, rows: readonly StepRow[]): void {
    for (const row of rows) {
      const slot = this.slots.get(row[0]);
      if (slot?.workerId === workerId) slot.rows.push(row);
    }
  }

  /** What a worker is asked to prepare. */
  preparationOf(requestId: string): Omit<Preparation, "id"> | undefined {
    const submission = this.live.get(requestId)?.submission;
    if (submission === undefined) return undefined;
    const { input, constraint } = submission;
    return constraint === undefined ? { input } : { input, constraint };
  }

  admissions(requests: Of<"admit">["requests"]) {
    return requests.flatMap(({ slot, requestId }) => {
      const request = this.live.get(requestId);
      return request === undefined ? [] : [admissionOf(request, slot)];
    });
  }

  /** One that an earlier process accepted, as its log was left. */
  restore(request: LiveRequest, stored: StoredResponse): void {
    this.live.set(request.id, request);
    request.log = this.host.logs.restore(stored);
    this.host.registry.restore(request.log, stored.acceptance);
  }

  /** One that had ended already, `ageMs` ago. */
  restoreEnded(stored: StoredResponse, ageMs: number): void {
    const log = this.host.logs.restore(stored);
    this.host.registry.restore(log, stored.acceptance);
    this.host.registry.ended(log, ageMs);
  }

  armDeadline({ requestId, ms }: Of<"armDeadline">): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    const passed = (): void => this.host.post({ kind: "deadline", requestId });
    request.deadline = this.host.clock.after(ms, passed);
  }

  size({ requestId, tokensMax, cost }: Of<"size">, said: Said): void {
    const request = this.live.get(requestId);
    if (request === undefined || said.promptTokens === undefined) return;
    request.promptTokens = said.promptTokens;
    request.maxTokens = tokensMax;
    request.cost = cost;
    request.sampling = withDefaults(request.submission.sampling, said.sampling);
  }

  store({ requestId }: Of<"store">): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    request.storing = this.host.logs.store(request, {
      onStored: () => this.host.post({ kind: "stored", requestId }),
      onUnstorable: () => this.host.post({ kind: "unstorable", requestId }),
    });
  }

  accept({ requestId }: Of<"accept">): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    const { registry, observers, logs, clock } = this.host;
    const log = request.storing ?? logs.create(request);
    request.storing = undefined;
    request.log = log;
    // Its tokens are in the log from now on; the text that they were made of is long and not needed again.
    request.submission = { ...request.submission, input: nothingToPrepare };
    registry.add(log, request.submission.abandonment, request.idempotencyId);
    observers.tell("accepted", log, { queuedMs: clock.now() - request.arrivedAt });
    request.settle.accept(log);
  }

  queued({ requestId }: Of<"queued">): void {
    this.live.get(requestId)?.log?.queued();
  }

  lease({ requestId, workerId, slot, first }: Of<"lease">): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    this.slots.set(slot, { workerId, rows: [] });
    request.startedAt ??= this.host.clock.now();
    if (first) request.log?.inProgress();
  }

  cached({ requestId, tokens }: Of<"cached">): void {
    const log = this.live.get(requestId)?.log;
    if (log !== undefined) log.cachedTokens = tokens;
  }

  append({ requestId, slot, count }: Of<"append">): void {
    const request = this.live.get(requestId);
    const rows = this.take(slot, count);
    if (request?.log === undefined || rows.length < count)
      throw new Error(`request ${requestId}: ${rows.length} tokens of ${count} have come`);
    const { log } = request;
    const now = this.host.clock.now();
    const first = request.firstTokenAt === undefined;
    request.firstTokenAt ??= now;
    const { tokens, text, logprobs } = arrivedIn(rows);
    log.emit(tokens, text, logprobs);
    const gapMs = now - (first ? request.arrivedAt : request.lastDeltaAt);
    request.lastDeltaAt = now;
    this.host.observers.tell("delta", log, { tokens: count, gapMs, first });
  }

  discard({ slot, count }: Of<"discard">): void {
    this.take(slot, count);
  }

  migrated({ requestId, attempt, loss }: Of<"migrated">): void {
    this.live.get(requestId)?.log?.notify({ kind: "migrated", attempt, reason: loss });
  }

  release({ slot }: Of<"release">): void {
    this.slots.delete(slot);
  }

  interrupt({ requestId }: Of<"interrupt">): void {
    this.live.get(requestId)?.log?.interrupt(isDraining());
  }

  close({ requestId, finish, explanation }: Of<"close">, said: Said): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    this.live.delete(requestId);
    request.deadline?.cancel();
    request.storing?.discard();
    const explained = this.explained(explanation, said, request);
    const { log } = request;
    if (log === undefined) return this.refuse(request, refusalOf(finish, explained));
    const whole = finish.kind === "stop" || finish.kind === "length" || finish.kind === "toolCalls";
    const { clock, observers } = this.host;
    const ending = endingOf(finish, explained);
    log.end(ending, whole ? (said.tail ?? "") : "", clock.wall());
    observers.tell("ended", log, { ending, usage: log.usage, ...timings(request, clock.now()) });
  }

  turnAway({ requestId, explanation }: Of<"turnAway">): void {
    const request = this.live.get(requestId);
    if (request === undefined) return;
    this.live.delete(requestId);
    this.refuse(request, turnedAway(this.explained(explanation, {}, request)));
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
    { submission }: LiveRequest,
  ): Explained {
    const { queueMax, reasonOf } = this.host;
    const reason = explanation.kind === "noWorker" ? reasonOf(explanation.workerId) : undefined;
    const { constraintName } = submission;
    return { explanation, said, queueMax, reason, constraintName };
  }

  private refuse(request: LiveRequest, refusal: ReturnType<typeof refusalOf>): void {
    const { code, status } = refusal;
    this.host.observers.tell("refused", { code, status, model: request.modelId });
    request.settle.refuse(refusal);
  }
}
