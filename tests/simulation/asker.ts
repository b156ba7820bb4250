/** A program with the real client: asks, reads, leaves, and knows what it may be told. */
import { type Client, connectWith } from "../../src-ts/client/client.js";
import { ClientError } from "../../src-ts/client/errors.js";
import type { ClientPorts } from "../../src-ts/client/ports.js";
import type { ResponseStream } from "../../src-ts/client/stream.js";
import type {
  CreateResponseBody,
  OutputItem,
  ResponseStreamEvent,
  ResponseUsage,
} from "../../src-ts/protocol/index.js";
import { HeardOutput } from "./heard.js";
import { answerTo, promptTokensOf } from "./oracle.js";
import type { RequestPlan } from "./scenario.js";
import { toolsOfBody } from "./turns.js";

/** What the world knows that bears on what may happen to a request. */
export interface AskerWorld {
  ports: ClientPorts;
  after(ms: number, run: () => void): void;
  now(): number;
  /** Nothing goes wrong in this life. */
  isCalm: boolean;
  trace(what: string): void;
  violated(what: string): never;
  sawEvent(id: string, event: ResponseStreamEvent): void;
  /** Whether this outcome is in order; `accepted`: it was acknowledged before. */
  mayEnd(request: RequestPlan, code: string, accepted: boolean): boolean;
}

/** One request's way through its client. */
interface Asked {
  plan: RequestPlan;
  lastNumber: number;
  output: HeardOutput;
  responseId: string | undefined;
  settled: boolean;
  /** When its end was ordered and it could be: once its id was known. */
  cancelledAt: number;
}

/** From the order to end it until its end is here: two ways, and a worker's turn. */
const cancelMsMax = 200;

export class Asker {
  private client: Client | undefined;
  private readonly waiting: Asked[] = [];
  private readonly asked: Asked[] = [];

  constructor(
    readonly name: string,
    private readonly world: AskerWorld,
  ) {
    this.connect();
  }

  get isDone(): boolean {
    return this.asked.every(({ settled }) => settled);
  }

  get unsettled(): string[] {
    return this.asked.filter(({ settled }) => !settled).map(({ plan }) => plan.prompt);
  }

  /** Of all responses that were acknowledged and not yet given up. */
  get acknowledged(): string[] {
    return this.asked.flatMap(({ responseId }) => responseId ?? []);
  }

  ask(plan: RequestPlan): void {
    const copies = plan.twice && plan.leave === undefined ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const asked = {
        plan,
        lastNumber: -1,
        output: new HeardOutput(),
        responseId: undefined,
        settled: false,
        cancelledAt: Number.POSITIVE_INFINITY,
      };
      this.asked.push(asked);
      if (this.client === undefined) this.waiting.push(asked);
      else this.respond(this.client, asked);
    }
  }

  /** What was told at the end of a response, by its id. */
  readonly finals = new Map<string, readonly OutputItem[]>();

  /** Prompts that were refused because they could not be stored. */
  readonly turnedAway: string[] = [];

  // The first connection is the caller's to repeat.
  private connect(): void {
    connectWith(this.world.ports, "ws://sim", {}).then(
      (client) => this.connected(client),
      () => this.world.after(200, () => this.connect()),
    );
  }

  private connected(client: Client): void {
    this.client = client;
    client.on("close", ({ closeCode, reason }) =>
      this.world.violated(`${this.name} gave up: ${closeCode} ${reason}`),
    );
    for (const asked of this.waiting.splice(0)) this.respond(client, asked);
  }

  private respond(client: Client, asked: Asked): void {
    const { plan } = asked;
    const body = {
      input: plan.prompt,
      seed: plan.seed,
      ...(plan.maxTokens === 0 ? { generate: false } : { max_output_tokens: plan.maxTokens }),
      store: plan.store,
      ...(plan.tools && { tools: toolsOfBody }),
    } as CreateResponseBody;
    const abort = new AbortController();
    const stream = client.respond(body, {
      signal: abort.signal,
      lane: plan.lane,
      deadlineMs: plan.deadlineMs,
      priority: plan.priority,
      ...(plan.twice && { idempotencyKey: `${this.name} ${plan.prompt}`.replaceAll(" ", "_") }),
    });
    stream.listen((event) => this.heard(asked, event));
    const { leave } = plan;
    if (leave !== undefined)
      this.world.after(leave.afterMs, () => {
        asked.cancelledAt = this.world.now();
        if (leave.how === "cancel") stream.cancel();
        else abort.abort();
      });
    this.follow(asked, stream);
  }

  private heard(asked: Asked, event: ResponseStreamEvent): void {
    const { sequence_number: number } = event;
    if (number !== asked.lastNumber + 1)
      this.world.violated(`${asked.plan.prompt}: ${number} came after ${asked.lastNumber}`);
    asked.lastNumber = number;
    if (asked.responseId === undefined && "response" in event) {
      asked.responseId = event.response.id;
      if (asked.cancelledAt < Number.POSITIVE_INFINITY) asked.cancelledAt = this.world.now();
    }
    if (asked.responseId === undefined)
      return this.world.violated(`${asked.plan.prompt}: ${event.type} came first`);
    this.world.sawEvent(asked.responseId, event);
    this.add(asked, event);
  }

  private add({ plan, output }: Asked, event: ResponseStreamEvent): void {
    try {
      output.take(event);
    } catch (error) {
      this.world.violated(`"${plan.prompt}": ${(error as Error).message}`);
    }
  }

  private follow(asked: Asked, stream: ResponseStream): void {
    stream.final().then(
      ({ text, usage, response }) => {
        asked.settled = true;
        this.world.trace(`${this.name}: "${asked.plan.prompt}" is ${response.status}`);
        const { plan } = asked;
        this.finals.set(response.id, response.output);
        if (plan.maxTokens === 0 && response.output.length > 0)
          this.world.violated(`"${plan.prompt}" has output, and only its prompt was wanted`);
        this.check(plan, response.status, text, usage);
        this.checkCancelled(asked, response.status);
      },
      (error: unknown) => {
        asked.settled = true;
        const code = error instanceof ClientError ? error.code : String(error);
        this.world.trace(`${this.name}: "${asked.plan.prompt}" failed with ${code}`);
        const { twice } = asked.plan;
        if (code === "storage_unavailable" && asked.responseId === undefined && !twice)
          this.turnedAway.push(asked.plan.prompt);
        if (!this.world.mayEnd(asked.plan, code, asked.responseId !== undefined))
          this.world.violated(`"${asked.plan.prompt}" failed: ${code} ${error}`);
      },
    );
  }

  private checkCancelled({ plan, cancelledAt }: Asked, status: string): void {
    const lateMs = this.world.now() - cancelledAt;
    if (this.world.isCalm && status !== "cancelled" && lateMs > cancelMsMax)
      this.world.violated(`"${plan.prompt}" ran on for ${lateMs} ms after it was cancelled`);
  }

  private check(
    plan: RequestPlan,
    status: string,
    text: string,
    usage: ResponseUsage | null,
  ): void {
    const { prompt } = plan;
    const answer = answerTo(plan);
    if (!answer.text.startsWith(text))
      this.world.violated(`"${prompt}": got ${text} where ${answer.text} was right`);
    if (usage?.input_tokens !== promptTokensOf(prompt).length)
      this.world.violated(`"${prompt}": ${usage?.input_tokens} prompt tokens`);
    if (status === "cancelled" && plan.leave !== undefined) return;
    if (this.world.mayEnd(plan, status, true)) return;
    const expected = answer.finish === "length" ? "incomplete" : "completed";
    if (status !== expected) this.world.violated(`"${prompt}" is ${status}, not ${expected}`);
    if (text !== answer.text) this.world.violated(`"${prompt}": ${text} is not ${answer.text}`);
    if (usage.output_tokens !== answer.tokens.length)
      this.world.violated(`"${prompt}": ${usage.output_tokens} output tokens`);
    const { reasoning_tokens: reasoned } = usage.output_tokens_details;
    if (reasoned !== answer.reasoningTokens)
      this.world.violated(
        `"${prompt}": ${reasoned} reasoning tokens, not ${answer.reasoningTokens}`,
      );
  }
}
