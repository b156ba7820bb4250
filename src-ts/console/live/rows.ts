/** The rows of the live view: what runs and what has just ended, as stages of one way. Pure. */
import type { RequestRow, Snapshot, Timeline } from "../../protocol/live.js";

export const stages = ["preparing", "queued", "prefill", "decode", "done"] as const;
export type Stage = (typeof stages)[number];

export interface Row {
  id: string;
  model: string;
  stage: Stage;
  /** The machine's state; of one that has ended, how. */
  state: string;
  failed: boolean;
  workerId: string | undefined;
  /** How far within its stage, 0 to 1; undefined where nobody can know. */
  progress: number | undefined;
  promptTokens: number | undefined;
  cachedTokens: number;
  prefill: { done: number; total: number } | undefined;
  emitted: number;
  maxTokens: number | undefined;
  migrations: number;
  ttftMs: number | undefined;
  ageMs: number;
  live: boolean;
}

const stageOf: Readonly<Record<RequestRow["state"], Stage>> = {
  preparing: "preparing",
  storing: "preparing",
  queued: "queued",
  prefilling: "prefill",
  decoding: "decode",
  cancelling: "decode",
  done: "done",
};

/** Those that run, oldest first; then those that ended last. */
export function rowsOf(
  { requests, ended }: Pick<Snapshot, "requests" | "ended">,
  nowMs: number,
): Row[] {
  const living = new Set(requests.map(({ id }) => id));
  return [
    ...requests.map((one) => liveRow(one, nowMs)),
    ...ended.filter(({ id }) => !living.has(id)).map(endedRow),
  ];
}

function liveRow(one: RequestRow, nowMs: number): Row {
  const { prefill, emitted, maxTokens } = one;
  const stage = stageOf[one.state];
  return {
    id: one.id,
    model: one.model,
    stage,
    state: one.state,
    failed: false,
    workerId: one.workerId,
    progress: progressOf(stage, { prefill, emitted, maxTokens }),
    promptTokens: one.promptTokens,
    cachedTokens: one.cachedTokens,
    prefill,
    emitted,
    maxTokens,
    migrations: Math.max(0, one.attempts - 1),
    ttftMs: one.ttftMs,
    ageMs: Math.max(0, nowMs - one.arrivedAtMs),
    live: true,
  };
}

function progressOf(
  stage: Stage,
  { prefill, emitted, maxTokens }: Pick<RequestRow, "prefill" | "emitted" | "maxTokens">,
): number | undefined {
  if (stage === "prefill" && prefill !== undefined && prefill.total > 0)
    return Math.min(1, prefill.done / prefill.total);
  if (stage === "decode" && maxTokens !== undefined && maxTokens > 0)
    return Math.min(1, emitted / maxTokens);
  return undefined;
}

function endedRow({ id, model, emitted, transitions }: Timeline): Row {
  const find = (event: string) => transitions.findLast((one) => one.event === event);
  const last = transitions.at(-1);
  const finish = last?.event === "ended" ? last.finish : last?.event;
  return {
    ...{ id, model, stage: "done", state: finish ?? "ended" },
    failed: finish === "failed" || finish === "turnedAway" || finish === "expired",
    workerId: find("dispatched")?.workerId,
    progress: undefined,
    promptTokens: find("prepared")?.promptTokens,
    cachedTokens: find("prefilling")?.cachedTokens ?? 0,
    prefill: undefined,
    emitted,
    maxTokens: undefined,
    migrations: transitions.filter(({ event }) => event === "migrated").length,
    ttftMs: transitions.find(({ event }) => event === "decoding")?.afterMs,
    ageMs: last?.afterMs ?? 0,
    live: false,
  };
}

/** Enough of an id to tell it from others. */
export function shortId(id: string): string {
  return id.length > 16 ? `${id.slice(0, 9)}…${id.slice(-4)}` : id;
}
