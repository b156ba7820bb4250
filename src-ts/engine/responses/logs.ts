/**
 * Makes the logs of responses: of requests that have been prepared, in memory or on their way to disk,
 * and of what was read from there. Owns what stands in a header; nothing of what comes after it.
 */

import type { Cost } from "../../machines/Batch.js";
import type { Sampling, TurnRequest } from "../../worker/messages.js";
import type { Submission } from "../api.js";
import type { Acceptance, StoredResponse } from "../journal.js";
import type { Ports } from "../ports.js";
import { type LogHeader, type LogKeeper, ResponseLog } from "./log.js";

/** What a log is made of: a request that has been prepared. */
export interface Prepared {
  id: string;
  modelId: string;
  asked: Omit<Submission, "input">;
  /** Monotonic milliseconds. */
  deadlineAt: number;
  chat: boolean;
  turn: TurnRequest;
  promptTokens: Uint32Array;
  maxTokens: number;
  sampling: Sampling;
  cost: Cost;
}

/** What becomes of the first entry on disk; exactly one is called, in a later turn. */
export interface StoreCallbacks {
  onStored(): void;
  onUnstorable(): void;
}

export class Logs {
  constructor(
    private readonly ports: Pick<Ports, "clock" | "journal">,
    private readonly keeper: LogKeeper,
  ) {}

  create(request: Prepared): ResponseLog {
    const { store } = request.asked;
    const log = new ResponseLog(headerOf(this.acceptance(request), store), this.keeper);
    log.create();
    return log;
  }

  store(request: Prepared, callbacks: StoreCallbacks): ResponseLog {
    const acceptance = this.acceptance(request);
    const storing = { journal: this.ports.journal!, acceptance, ...callbacks };
    const log = new ResponseLog(headerOf(acceptance, true), this.keeper, storing);
    log.create();
    return log;
  }

  restore(stored: StoredResponse): ResponseLog {
    const { acceptance } = stored;
    const storing = { journal: this.ports.journal!, acceptance, onStored, onUnstorable };
    const log = new ResponseLog(headerOf(acceptance, true), this.keeper, storing);
    log.restore(stored);
    return log;
  }

  private acceptance(request: Prepared): Acceptance {
    const { asked } = request;
    const { clock } = this.ports;
    const leftMs = request.deadlineAt - clock.now();
    return {
      id: request.id,
      model: request.modelId,
      owner: asked.owner,
      createdAt: clock.wall(),
      echo: asked.echo,
      conversation: asked.conversation,
      maxTokens: request.maxTokens,
      sampling: request.sampling,
      promptTokens: request.promptTokens,
      chat: request.chat,
      turn: request.turn,
      constraint: asked.constraint,
      clientId: asked.clientId,
      priority: asked.priority,
      deadlineAt: Number.isFinite(leftMs) ? clock.wall() + leftMs : undefined,
      idempotency: asked.idempotency,
      cost: request.cost,
    };
  }
}

function headerOf(acceptance: Acceptance, store: boolean): LogHeader {
  const { id, model, owner, createdAt, echo, conversation, maxTokens } = acceptance;
  const { sampling, promptTokens } = acceptance;
  const customTools = customToolsOf(acceptance);
  return {
    id,
    model,
    owner,
    createdAt,
    store,
    echo,
    conversation,
    maxTokens,
    sampling,
    promptTokens,
    customTools,
  };
}

const none: ReadonlySet<string> = new Set();

function customToolsOf({ turn: { tools } }: Acceptance): ReadonlySet<string> {
  if (tools === undefined) return none;
  return new Set(tools.tools.flatMap(({ name, custom }) => (custom ? [name] : [])));
}

// Of a log that was read from disk the first entry is there.
function onStored(): void {}
function onUnstorable(): void {}
