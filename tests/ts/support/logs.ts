/** Real logs in a test's hands: written as the engine writes them, of whatever items. */
import type { Item, LogEntry } from "../../../src-ts/engine/api.js";
import { systemClock } from "../../../src-ts/engine/clock.js";
import { completeSubmission, withDefaults } from "../../../src-ts/engine/requests/defaults.js";
import { ResponseLog } from "../../../src-ts/engine/responses/log.js";
import { Turn } from "../../../src-ts/engine/turn.js";
import { responseSubmission } from "../../../src-ts/server/submissions/responses.js";
import type { Piece, StepRow, TokenLogprob } from "../../../src-ts/worker/messages.js";
import { caller } from "../server/submissions/caller.js";

/** Of a request that says no more than it must. */
const { echo } = responseSubmission({ input: "" }, caller, 0);

const { sampling } = completeSubmission({ input: { kind: "text", text: "" } }, () => 0);

export function newLog(maxTokens = 100): ResponseLog {
  return new ResponseLog(
    {
      id: "resp_1",
      model: "m",
      owner: "o",
      createdAt: 1_700_000_000_000,
      store: true,
      echo,
      maxTokens,
      sampling: withDefaults(sampling),
      promptTokens: Uint32Array.of(1, 2),
      customTools: new Set(["run"]),
    },
    { turn: new Turn(systemClock, () => {}), cancel() {}, readersChanged() {}, ended() {} },
  );
}

/** With these entries, as read from disk. */
export function logOf(entries: readonly LogEntry[]): ResponseLog {
  const log = newLog();
  const { id, model, owner, createdAt, maxTokens, promptTokens } = log;
  const cost = { promptTokens: 2, newTokens: 100, kvBytes: 0 };
  const request = { id, model, owner, createdAt, echo, maxTokens, sampling: log.sampling };
  const rest = {
    promptTokens,
    chat: true,
    turn: {},
    clientId: "c",
    priority: "normal",
    cost,
  } as const;
  const none = {
    conversation: undefined,
    constraint: undefined,
    deadlineAt: undefined,
    idempotency: undefined,
  };
  const acceptance = { ...request, ...rest, ...none };
  log.restore({ acceptance, entries, tokens: [1, 2, 3], cachedTokens: 0, reasoningTokens: 0 });
  return log;
}

export const message: Item = { kind: "message" };
export const reasoning: Item = { kind: "reasoning" };
export const call = (id: string): Item => ({ kind: "functionCall", callId: id, name: "look" });
export const custom = (id: string): Item => ({ kind: "customToolCall", callId: id, name: "run" });

export const logprob = (token: string): TokenLogprob => ({
  token,
  bytes: [...Buffer.from(token)],
  logprob: -0.5,
  top: [],
});

/** Rows of a worker: text or pieces with the first token, nothing with others. */
export function said(
  tokens: readonly number[],
  first: string | Piece[],
  logprobs: readonly TokenLogprob[] = [],
): StepRow[] {
  return tokens.map((token, index) => [1, index, token, index === 0 ? first : "", logprobs[index]]);
}

/** Entries of one item, one delta a text; each list of texts is a part. */
export function itemEntries(index: number, item: Item, ...parts: string[][]): LogEntry[] {
  const hasParts = item.kind === "message" || item.kind === "reasoning";
  const inParts = parts.flatMap((texts, part): LogEntry[] => [
    ...(hasParts ? [{ kind: "partAdded", index, part } as const] : []),
    ...texts.map((text): LogEntry => ({ kind: "delta", index, part, text, tokens: 1 })),
    { kind: "textDone", index, part },
    ...(hasParts ? [{ kind: "partDone", index, part } as const] : []),
  ]);
  return [{ kind: "itemAdded", index, item }, ...inParts, { kind: "itemDone", index }];
}

export const started: readonly LogEntry[] = [{ kind: "created" }, { kind: "inProgress" }];

export const ended: LogEntry = {
  kind: "ended",
  ending: { kind: "stop" },
  usage: { promptTokens: 2, cachedTokens: 0, completionTokens: 3, reasoningTokens: 0 },
  endedAt: 1_700_000_001_000,
};
