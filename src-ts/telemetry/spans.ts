/**
 * A request that has ended, as spans and as figures: plain data, made of its timeline and of what observers are told.
 * Knows no prompt, no text, and nothing of who sends it where.
 */
import type {
  Ending,
  EngineObserver,
  Operation,
  Origin,
  Refused,
  Response,
  Timeline,
  Transition,
} from "../engine/api.js";
import { events, attributes as names, operations, phases, providerName } from "./names.js";

export type Attributes = Record<string, string | number | boolean | string[]>;

export interface SpanEvent {
  name: string;
  atMs: number;
  attributes: Attributes;
}

/** Times: wall-clock milliseconds. */
export interface SpanData {
  name: string;
  startMs: number;
  endMs: number;
  attributes: Attributes;
  events: SpanEvent[];
  /** It has failed, and it is the server that has. */
  fault?: string | undefined;
  children: SpanData[];
}

/** What metrics are made of. Seconds and tokens; absent: there was none. */
export interface Figures {
  attributes: Attributes;
  durationS: number;
  ttftS?: number | undefined;
  perTokenS?: number | undefined;
  inputTokens?: number | undefined;
  outputTokens?: number | undefined;
}

export interface Ended {
  span: SpanData | undefined;
  figures: Figures;
  origin: Origin | undefined;
}

type EndedInfo = Parameters<NonNullable<EngineObserver["ended"]>>[1];

/** `server`: where it is served, as far as that is known. */
export function endedResponse(
  response: Response,
  info: EndedInfo,
  timeline: Timeline | undefined,
  server: Attributes,
): Ended {
  const { ending, usage, origin, operation } = info;
  const error = errorOf(ending);
  const common = { ...commonOf(operation, response.model), ...server, ...errorType(error) };
  const figures: Figures = {
    attributes: common,
    durationS: info.e2eMs / 1000,
    inputTokens: usage.promptTokens,
    outputTokens: usage.completionTokens,
    ...(isWhole(ending) && paceOf(info)),
  };
  const asked = { ...common, ...samplingOf(response), ...usageOf(info), ...originOf(origin) };
  const said = { [names.responseId]: response.id, [names.finishReasons]: finishReasons(ending) };
  const fault = ending.kind === "failed" ? ending.code : undefined;
  const span = timeline && spanOf(operation, timeline, { ...asked, ...said }, fault);
  return { span, figures, origin };
}

/** Of one that was counted alone, or of which nothing is known: undefined. */
export function refusedRequest(
  refused: Refused,
  timeline: Timeline | undefined,
  server: Attributes,
): Ended | undefined {
  const { operation, model, code, status, origin, afterMs = 0 } = refused;
  if (operation === undefined) return undefined;
  const common = { ...commonOf(operation, model), ...server, ...errorType(code) };
  const fault = status >= 500 ? code : undefined;
  const span = timeline && spanOf(operation, timeline, { ...common, ...originOf(origin) }, fault);
  return { span, figures: { attributes: common, durationS: afterMs / 1000 }, origin };
}

function commonOf(operation: Operation, model: string | undefined): Attributes {
  return {
    [names.operationName]: operations[operation],
    [names.providerName]: providerName,
    // What clients invent is no model of ours.
    ...(model !== undefined && { [names.requestModel]: model, [names.responseModel]: model }),
  };
}

const errorType = (code: string | undefined): Attributes =>
  code === undefined ? {} : { [names.errorType]: code };

const originOf = (origin: Origin | undefined): Attributes =>
  origin === undefined ? {} : { [names.requestId]: origin.requestId };

function errorOf(ending: Ending): string | undefined {
  if (ending.kind === "failed") return ending.code;
  return ending.kind === "expired" ? "deadline_exceeded" : undefined;
}

const isWhole = ({ kind }: Ending): boolean =>
  kind === "stop" || kind === "length" || kind === "toolCalls";

/** As a chat's. */
const reasons: Readonly<Record<Ending["kind"], string>> = {
  stop: "stop",
  length: "length",
  toolCalls: "tool_calls",
  cancelled: "cancelled",
  expired: "error",
  failed: "error",
};
const finishReasons = ({ kind }: Ending): string[] => [reasons[kind]];

function paceOf({ ttftMs, e2eMs, usage }: EndedInfo): Pick<Figures, "ttftS" | "perTokenS"> {
  if (ttftMs === undefined) return {};
  const later = usage.completionTokens - 1;
  const perTokenS = later > 0 ? (e2eMs - ttftMs) / 1000 / later : undefined;
  return { ttftS: ttftMs / 1000, perTokenS };
}

/** No stop strings: they are a user's text. */
function samplingOf({ maxTokens, sampling }: Response): Attributes {
  return {
    [names.maxTokens]: maxTokens,
    [names.temperature]: sampling.temperature,
    [names.topP]: sampling.topP,
    ...(sampling.topK > 0 && { [names.topK]: sampling.topK }),
    ...(sampling.frequencyPenalty !== 0 && {
      [names.frequencyPenalty]: sampling.frequencyPenalty,
    }),
    ...(sampling.presencePenalty !== 0 && { [names.presencePenalty]: sampling.presencePenalty }),
  };
}

function usageOf({ usage }: EndedInfo): Attributes {
  return {
    [names.inputTokens]: usage.promptTokens,
    [names.outputTokens]: usage.completionTokens,
    ...(usage.cachedTokens > 0 && { [names.cacheReadTokens]: usage.cachedTokens }),
    ...(usage.reasoningTokens > 0 && { [names.reasoningTokens]: usage.reasoningTokens }),
  };
}

function spanOf(
  operation: Operation,
  timeline: Timeline,
  attributes: Attributes,
  fault: string | undefined,
): SpanData {
  const { arrivedAtMs: startMs, transitions, model, priority } = timeline;
  const endMs = startMs + (transitions.at(-1)?.afterMs ?? 0);
  const attempts = transitions.filter(({ event }) => event === "dispatched").length;
  return {
    name: `${operations[operation]} ${model}`,
    startMs,
    endMs,
    attributes: {
      ...attributes,
      [names.priority]: priority,
      ...(attempts > 0 && { [names.attempts]: attempts }),
    },
    events: transitions.flatMap((one) => eventOf(one, startMs)),
    fault,
    children: phasesOf(timeline),
  };
}

type Told = keyof typeof events;

function eventOf(transition: Transition, startMs: number): SpanEvent[] {
  const { event, afterMs, attempt, reason, workerId } = transition;
  if (!(event in events)) return [];
  const attributes = {
    ...(attempt !== undefined && { [names.attempt]: attempt }),
    ...(reason !== undefined && { [names.lossReason]: reason }),
    ...(workerId !== undefined && { [names.workerId]: workerId }),
  };
  return [{ name: events[event as Told], atMs: startMs + afterMs, attributes }];
}

/** Which phase begins with an event; null: the one before is over. Others happen within a phase. */
const begins: Readonly<Partial<Record<Transition["event"], keyof typeof phases | null>>> = {
  preparing: "prepare",
  prepared: null,
  storing: "store",
  accepted: "queue",
  queued: "queue",
  dispatched: "prefill",
  decoding: "decode",
  migrated: "queue",
  interrupted: null,
  ended: null,
  turnedAway: null,
};

function phasesOf({ arrivedAtMs, transitions }: Timeline): SpanData[] {
  const all: SpanData[] = [];
  let open: SpanData | undefined;
  for (const transition of transitions) {
    const { event } = transition;
    const atMs = arrivedAtMs + transition.afterMs;
    const phase = begins[event];
    if (phase === undefined) {
      if (open !== undefined) Object.assign(open.attributes, factsOf(transition));
      continue;
    }
    if (open !== undefined) close(open, atMs, transition);
    open = undefined;
    if (phase === null) continue;
    // Told of a lost worker and of its queue: it is one wait.
    const before = all.at(-1);
    if (phase === "queue" && before?.name === phases.queue && before.endMs === atMs) {
      open = before;
      continue;
    }
    // One attempt's worker is that of all its phases.
    const facts = event === "decoding" ? { ...attemptOf(before), ...factsOf(transition) } : {};
    open = begun(
      phases[phase],
      atMs,
      event === "migrated" ? {} : { ...factsOf(transition), ...facts },
    );
    all.push(open);
  }
  return all;
}

const begun = (name: string, startMs: number, attributes: Attributes): SpanData => ({
  ...{ name, startMs, endMs: startMs, attributes },
  ...{ events: [], children: [] },
});

function close(span: SpanData, atMs: number, { event, reason, finish, code }: Transition): void {
  span.endMs = atMs;
  if (event === "migrated") span.fault = reason ?? "lost";
  if (finish === "failed") span.fault = code ?? "failed";
}

function attemptOf(span: SpanData | undefined): Attributes {
  const attempt = span?.attributes[names.attempt];
  return attempt === undefined ? {} : { [names.attempt]: attempt };
}

function factsOf({ workerId, attempt, cachedTokens, promptTokens }: Transition): Attributes {
  return {
    ...(workerId !== undefined && { [names.workerId]: workerId }),
    ...(attempt !== undefined && { [names.attempt]: attempt }),
    ...(cachedTokens !== undefined && { [names.cachedTokens]: cachedTokens }),
    ...(promptTokens !== undefined && { [names.promptTokens]: promptTokens }),
  };
}
