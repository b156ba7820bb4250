/** Closed loop: so many streams, each of which sends its next request when its last one has ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { syntheticPrompt } from "./prompts.js";
import type { RequestBody, RequestRecord, Target } from "./target.js";

export interface LoadOptions {
  streams: number;
  maxTokens: number;
  /** A fixed text for every request, or a size for texts that all differ, and what each of these ends with. */
  prompt: { text: string } | { tokens: number; ending?: string };
  /** When to stop sending; what is running then still runs to its end. */
  until: { requests: number } | { durationMs: number };
}

export interface LoadResult {
  records: RequestRecord[];
  /** From the first request to the end of the last. */
  wallMs: number;
}

/** A failed request must not become a busy loop against a server that refuses at once. */
const pauseAfterFailureMs = 50;

/**
 * Puts `target` under load. Prompts are numbered from `firstPrompt`, so that rounds and targets can
 * get the same or other ones. `onRecord` is called at the end of each request.
 */
export async function runClosedLoop(
  target: Target,
  options: LoadOptions,
  firstPrompt: number,
  onRecord: (record: RequestRecord) => void,
): Promise<LoadResult> {
  const { streams, maxTokens, prompt, until } = options;
  const records: RequestRecord[] = [];
  const startedAt = performance.now();
  let sent = 0;
  const more = () =>
    "requests" in until ? sent < until.requests : performance.now() - startedAt < until.durationMs;
  const nextRequest = (): RequestBody => {
    const index = firstPrompt + sent++;
    if ("text" in prompt) return { prompt: prompt.text, maxTokens };
    const { tokens, ending = "" } = prompt;
    return { prompt: `${syntheticPrompt(index, tokens)}${ending}`, maxTokens };
  };
  const runStream = async () => {
    while (more()) {
      const record = await target.run(nextRequest());
      records.push(record);
      onRecord(record);
      if (record.failure !== undefined) await sleep(pauseAfterFailureMs);
    }
  };
  await Promise.all(Array.from({ length: streams }, runStream));
  const endedAt = records.reduce((latest, record) => Math.max(latest, record.endedAt), startedAt);
  return { records, wallMs: endedAt - startedAt };
}
