/**
 * One WebSocket: its messages, its lanes, its end. An idle socket owns nothing but this object; lanes
 * and the writer come with the first response and the lanes go with the last.
 */
import type { RawData } from "ws";
import type { Origin, Response, SubmissionInput } from "../../engine/api.js";
import { isServingError, type ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import {
  closeCodes,
  messageSchemas,
  type ResponseCancel,
  type ResponseCreate,
  type ResponseResume,
  type ResponseSteer,
} from "../../protocol/events.js";
import type { Asker } from "../access/keys.js";
import type { BodyLease } from "../bodies/budget.js";
import type { ServerContext } from "../context.js";
import { withTrace } from "../http/request-headers.js";
import { readJson } from "../json/read.js";
import { predecessorOf } from "../predecessors.js";
import { ResponseEvents } from "../render/response-events.js";
import { ownResponse, storedItems, submitResponse } from "../response-access.js";
import { type Reading, Writer, type WriterOwner } from "../streams/writer.js";
import type { Caller } from "../submissions/caller.js";
import { reasoningBudgetFields } from "../submissions/reasoning.js";
import { requireInput, responseSubmission } from "../submissions/responses.js";
import { type Tolerated, tolerate, withName } from "../validation/tolerance.js";
import { Arrival } from "./arrival.js";
import { type Job, LaneQueue } from "./lanes.js";
import { Memory } from "./memory.js";
import { type Correlation, correlationOf, traceOf, typeOf, unknownType } from "./message.js";
import { Outgoing, type OutgoingSocket } from "./outgoing.js";
import { steerFailed } from "./steering.js";

/** What a session is told about its socket. */
export interface SessionStart extends OutgoingSocket {
  identity: Asker;
  /** The upgrade: its request id, and the trace that it is part of. */
  origin: Origin;
  /** Opened with `?events=mlx_serving`. */
  wantsNotices: boolean;
  /**
   * Opened as Codex does: told that this socket has reached its limit, it opens another; and it gives up
   * a socket without messages, whatever pings there are.
   */
  speaksBeta: boolean;
}

/** A message that asks for a response. */
interface Asking {
  body: ResponseCreate;
  origin: Origin;
  /** Monotonic milliseconds. */
  arrivedAt: number;
}

/** How a request's answer is told apart from others, and what was left out of it. */
interface Answering extends Correlation {
  ignored?: readonly string[];
}

export class Session implements WriterOwner {
  /** Pings of ours that are unanswered. */
  missedPings = 0;
  /** Pings of the client since ours. */
  clientPings = 0;
  private badMessages = 0;
  private draining = false;
  /** Its key is no more: what runs may end, and nothing else happens here. */
  private keyless: ServingError | undefined;
  private closed = false;
  private lanes: LaneQueue | undefined;
  private writer: Writer | undefined;
  private preparing: Set<AbortController> | undefined;
  private readonly arrival = new Arrival(() => this.newLease());
  private readonly outgoing: Outgoing;
  /** The lanes, if they have a name, of the responses that are read here. */
  private followed: Map<string, string | undefined> | undefined;
  private memory: Memory | undefined;

  constructor(
    private readonly context: ServerContext,
    readonly start: SessionStart,
  ) {
    this.outgoing = new Outgoing(
      context,
      start,
      () => this.close(closeCodes.overload, "consumer_too_slow"),
      () => this.writer?.sent(),
    );
  }

  /** Nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.lanes === undefined || this.lanes.isEmpty;
  }

  // Messages of the client

  /** A chunk, before it is known what it makes whole. */
  arriving(bytes: number): void {
    this.arrival.add(bytes);
  }

  /** What has become whole by it was received. False: the rest is refused, and nothing more is to be read. */
  arrived(): boolean {
    if (!this.arrival.isLarge) return true;
    // It only waits for the other side to close.
    if (this.closed) return false;
    try {
      this.arrival.hold();
      return true;
    } catch (error) {
      this.sendError(error, {});
      this.close(closeCodes.overload, "too_many_bytes");
      return false;
    }
  }

  /** A ping or pong is no part of a message, also in the midst of one. */
  arrivedControl(bytes: number): void {
    this.arrival.addedControl(bytes);
  }

  receive(data: RawData, isBinary: boolean): void {
    const lease = this.arrival.take();
    if (this.closed) return lease.release();
    let correlation: Correlation = {};
    try {
      lease.hold((data as Buffer).length);
      if (isBinary) throw failure("invalid_message");
      const { jsonDepthMax: depthMax, jsonValuesMax: valuesMax } = this.context.config.limits;
      const { value, fault } = readJson(data as Buffer, { depthMax, valuesMax });
      correlation = correlationOf(value);
      if (fault !== undefined) throw fault;
      this.checkKey();
      if (this.keyless !== undefined) throw this.keyless;
      this.dispatch(value, lease);
    } catch (error) {
      lease.release();
      this.sendError(error, correlation);
      if (isServingError(error) && error.status === 400) this.countBad();
    }
  }

  private newLease(): BodyLease {
    return this.context.bodies.lease(this.start.identity.clientId);
  }

  /** A lease outlasts its message only where a response is to come of it. */
  private dispatch(message: unknown, lease: BodyLease): void {
    const { strict } = this.context.config;
    const type = typeOf(message);
    if (type === "response.create") {
      const { traceparent, tracestate } = traceOf(message);
      const origin = withTrace(this.start.origin, traceparent, tracestate);
      this.create(tolerate(messageSchemas[type], message, strict), lease, origin);
    } else {
      lease.release();
      if (!this.obey(type, message)) {
        // A client newer than this server is no bad client, unless whoever runs it wants to know.
        if (this.context.config.strict) throw unknownType();
        return this.sendError(unknownType(), correlationOf(message));
      }
    }
    this.badMessages = 0;
  }

  /** False for a type that this server does not know. */
  private obey(type: string, message: unknown): boolean {
    const { strict } = this.context.config;
    switch (type) {
      case "response.cancel":
        this.cancel(tolerate(messageSchemas[type], message, strict).body);
        return true;
      case "response.processed":
        tolerate(messageSchemas[type], message, strict);
        return true;
      case "response.steer":
        this.steer(tolerate(messageSchemas[type], message, strict).body);
        return true;
      case "mlx_serving:response.resume":
        this.resume(tolerate(messageSchemas[type], message, strict).body);
        return true;
      default:
        return false;
    }
  }

  private create(
    { body, ignored }: Tolerated<ResponseCreate>,
    lease: BodyLease,
    origin: Origin,
  ): void {
    requireInput(body);
    const arrivedAt = this.context.now();
    const { requestId } = this.start;
    if (ignored.length > 0) this.context.logger.debug({ ignored, requestId }, "fields ignored");
    const answering = { ...correlationOf(body), ignored: this.withPriority(body, ignored) };
    const asking = { body, origin, arrivedAt };
    this.enqueue(body.stream_id, {
      run: (done) => this.submit(asking, answering, lease, done),
      drop: () => lease.release(),
      refuse: (reason) => this.sendError(reason, correlationOf(body)),
    });
  }

  /** One that is higher than the key's is lowered, and said to be. Throws where the server is strict. */
  private withPriority(body: ResponseCreate, ignored: readonly string[]): readonly string[] {
    const { keys, config } = this.context;
    const param = "mlx_serving:priority";
    if (!keys.lowers(this.start.identity.owner, body[param] ?? undefined)) return ignored;
    if (config.strict) throw failure("priority_not_allowed", { param });
    return withName(ignored, param);
  }

  private cancel({ response_id }: ResponseCancel): void {
    ownResponse(this.context.engine, response_id, this.start.identity.owner).cancel();
  }

  /** The client may send the same input with its next `response.create`. */
  private steer(message: ResponseSteer): void {
    const { engine } = this.context;
    const event = steerFailed(engine, this.start.identity.owner, message);
    const lane = this.followed?.get(message.previous_response_id);
    this.outgoing.sendText(
      JSON.stringify({
        ...event,
        sequence_number: Math.max(0, this.outgoing.lastNumber),
        ...(lane !== undefined && { stream_id: lane }),
      }),
    );
  }

  /** The cursor is taken at once, so that the response isn't abandoned while its lane is busy. */
  private resume({ response_id, starting_after, stream_id, event_id }: ResponseResume): void {
    const { owner } = this.start.identity;
    const response = ownResponse(this.context.engine, response_id, owner);
    // After the end the terminal event is sent again: on a socket nothing else says that it is over.
    const isOver = response.ending !== undefined && starting_after === response.entries.length - 1;
    const cursor = response.read(isOver ? starting_after - 1 : starting_after);
    this.context.onResume?.("websocket");
    const job: Job = {
      run: (done) => this.follow(cursor, { event_id, stream_id }, done),
      drop: () => cursor.close(),
      refuse: (reason) => this.sendError(reason, { event_id, stream_id }),
    };
    try {
      this.enqueue(stream_id, job);
    } catch (error) {
      cursor.close();
      throw error;
    }
  }

  private enqueue(lane: string | undefined, job: Job): void {
    this.lanes ??= new LaneQueue(this.context.config.limits, () => this.laneEmptied());
    this.lanes.add(lane, job);
  }

  // Responses

  /** What is wrong with the message is told like what the engine refuses: its lane goes on. */
  private async begin(message: ResponseCreate, caller: Caller, signal: AbortSignal) {
    const { engine, config } = this.context;
    const items = storedItems(engine, caller.owner);
    const previous = predecessorOf(engine, caller.owner, message.previous_response_id, {
      remembered: (id) => this.memory?.find(id),
      isHere: (id) => this.followed?.has(id) ?? false,
    });
    const submission = responseSubmission(message, caller, config.resumeGraceMs, items, previous);
    if (isExpired(submission)) throw failure("deadline_exceeded");
    return submitResponse(engine, submission, signal);
  }

  private submit(
    { body: message, origin, arrivedAt }: Asking,
    answering: Answering,
    lease: BodyLease,
    done: () => void,
  ): void {
    const preparing = new AbortController();
    this.preparing ??= new Set();
    this.preparing.add(preparing);
    const waitedMs = this.context.now() - arrivedAt;
    let ignored = answering.ignored ?? [];
    const drop = this.context.config.strict
      ? undefined
      : (param: string) => {
          ignored = withName(ignored, param);
        };
    const caller = { ...this.callerOf(message, waitedMs), origin, drop };
    this.begin(message, caller, preparing.signal)
      .finally(() => lease.release())
      .then((response) =>
        this.accepted(response, withUnbounded({ ...answering, ignored }, response, message), done),
      )
      .catch((error: unknown) => {
        this.sendError(error, correlationOf(answering));
        done();
      })
      .finally(() => this.preparing?.delete(preparing));
  }

  private accepted(response: Response, answering: Answering, done: () => void): void {
    const cursor = response.read(-1);
    if (this.closed) return cursor.close();
    this.follow(cursor, answering, () => {
      this.remember(response);
      done();
    });
  }

  /** What is stored is found by its id, and not here. */
  private remember(response: Response): void {
    if (response.store || this.closed) return;
    this.memory ??= new Memory(this.context.config.limits);
    this.memory.add(response);
  }

  private follow(cursor: Reading["cursor"], answering: Answering, done: () => void): void {
    const { response } = cursor;
    const { ignored = [], ...correlation } = answering;
    const told = this.start.wantsNotices && ignored.length > 0 ? ignored : undefined;
    const events = new ResponseEvents(response, "json", correlation.stream_id, told);
    this.followed ??= new Map();
    this.followed.set(response.id, correlation.stream_id);
    this.writer ??= new Writer(this.outgoing, this.context.config.limits, this);
    this.writer.add({
      cursor,
      render: (entry, number, out) => {
        this.outgoing.lastNumber = number;
        events.render(entry, number, out);
      },
      onEnd: () => {
        this.followed?.delete(response.id);
        done();
      },
      onInterrupted: (reason) => {
        this.followed?.delete(response.id);
        // A draining server says so by closing.
        if (!this.draining) this.sendError(reason, correlation);
        this.lanes?.abandon(correlation.stream_id, this.draining ? undefined : reason);
        done();
      },
    });
    if (this.start.wantsNotices) {
      cursor.onNotice((notice) =>
        this.outgoing.sendText(events.notice(notice, cursor.position - 1)),
      );
    }
  }

  /** A deadline counts from the message's arrival, not from its turn in the lane. */
  private callerOf(message: ResponseCreate, waitedMs: number): Omit<Caller, "origin"> {
    const deadlineMs = message["mlx_serving:deadline_ms"];
    return {
      ...this.start.identity,
      deadlineMs: deadlineMs == null ? undefined : deadlineMs - Math.floor(waitedMs),
      priority: message["mlx_serving:priority"] ?? undefined,
      idempotencyKey: message["mlx_serving:idempotency_key"] ?? undefined,
    };
  }

  private laneEmptied(): void {
    if (!this.isIdle) return;
    if (this.draining) this.close(closeCodes.restart, "draining");
    else if (this.keyless !== undefined) this.close(closeCodes.policy, this.keyless.code);
  }

  // Output

  get bufferedBytes(): number {
    return this.outgoing.bufferedBytes;
  }

  /** Called with every ping. A long prompt, or a long queue, is no dead socket. */
  keepAlive(): void {
    if (this.start.speaksBeta && !this.isIdle) this.outgoing.sendKeepAlive();
  }

  private sendError(error: unknown, correlation: Correlation): void {
    if (!this.closed) this.outgoing.sendError(error, correlation);
  }

  onTooSlow(): void {
    this.outgoing.writeTooSlow();
    this.close(closeCodes.overload, "consumer_too_slow");
  }

  /** Such clients take 1012 alone for a lost connection, of which they may count only a few. */
  private sendLimitReached(): void {
    this.sendError(failure("websocket_connection_limit_reached"), {});
  }

  onFault(error: unknown): void {
    this.context.logger.error({ err: error, requestId: this.start.requestId }, "socket failed");
    this.close(closeCodes.fault, "internal fault");
  }

  private countBad(): void {
    if (++this.badMessages < this.context.config.limits.badMessagesMax) return;
    this.close(closeCodes.policy, "too many bad messages");
  }

  // Its end

  /** Closes once its key is no more and nothing runs here: what was accepted has its end. */
  checkKey(): void {
    if (this.keyless !== undefined || this.closed) return;
    this.keyless = this.context.keys.problem(this.start.identity.owner);
    // Not within a message, whose answer comes first.
    if (this.keyless !== undefined) queueMicrotask(() => this.laneEmptied());
  }

  /** Tells the client, and closes once nothing runs here any more. */
  drain(graceMs: number): void {
    if (this.draining || this.closed) return;
    this.draining = true;
    if (this.start.wantsNotices) this.outgoing.sendDraining(graceMs);
    this.laneEmptied();
  }

  /** Closing handshake; every response is left to what its request said. */
  close(code: number, reason: string): void {
    if (this.closed) return;
    if (code === closeCodes.restart && this.start.speaksBeta) this.sendLimitReached();
    this.start.ws.close(code, reason);
    this.dispose();
  }

  /** It has gone, and what had arrived with it. */
  gone(): void {
    this.dispose();
    this.arrival.release();
  }

  /** The socket has gone, or is going. */
  dispose(): void {
    if (this.closed) return;
    this.closed = true;
    for (const controller of this.preparing ?? []) controller.abort();
    this.preparing = undefined;
    this.lanes?.drop();
    this.lanes = undefined;
    this.writer?.close();
    this.writer = undefined;
    this.followed = undefined;
    this.memory = undefined;
  }
}

/** What is ignored is known of its request, and of how its model reasons. */
function withUnbounded(
  answering: Answering,
  { isUnbounded }: Response,
  message: ResponseCreate,
): Answering {
  if (!isUnbounded) return answering;
  const ignored = [...(answering.ignored ?? []), ...reasoningBudgetFields(message)];
  return { ...answering, ignored };
}

function isExpired({ deadlineMs }: SubmissionInput): boolean {
  return deadlineMs !== undefined && deadlineMs <= 0;
}
