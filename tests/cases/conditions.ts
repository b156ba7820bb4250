/** What the conditions of cases mean. One that is about a model's draws says nothing about the fake engine. */
import { expect } from "vitest";
import type { Worker } from "../e2e/support/server.js";
import type { Case, Condition } from "./cases.js";
import type { Answer, Json, Player } from "./player.js";

/** Of a condition that watches while the case is played: what it has to see afterwards. */
type Afterwards = () => Promise<void>;

/** Begins to watch; most look only at the answer, later. */
export async function watch(player: Player, { check }: Condition): Promise<Afterwards> {
  if (check === "worker_unharmed") return watchWorker(player);
  if (check === "streams_undisturbed") return watchStream(player);
  return async () => {};
}

async function watchWorker(player: Player): Promise<Afterwards> {
  const identity = ({ pid, epoch, restarts, state }: Worker) => ({ pid, epoch, restarts, state });
  const before = identity(await player.server.until(({ state }) => state === "ready"));
  return async () => {
    expect(identity(await player.server.worker())).toEqual(before);
  };
}

const beside = { input: "Tell me of the sea.", temperature: 0 };
const comparedTokens = 24;
/** Far more than it gets to. */
const besideTokens = 2_000;
const undisturbed = new WeakMap<Player, string>();

async function watchStream(player: Player): Promise<Afterwards> {
  if (!undisturbed.has(player)) {
    const body = { ...beside, max_output_tokens: comparedTokens };
    undisturbed.set(player, textIn(await player.postJson("/v1/responses", body)));
  }
  const stream = await player.open();
  stream.send({ type: "response.create", ...beside, max_output_tokens: besideTokens });
  const deltas = () => stream.events.filter(({ type }) => type === "response.output_text.delta");
  await stream.until(() => deltas().length > 0);
  return async () => {
    const sofar = deltas().length;
    expect(stream.isOver, "the answer waited for the stream beside it").toBe(false);
    await stream.until(() => deltas().length > sofar + 1);
    stream.send({ type: "response.cancel", response_id: stream.events[0].response.id });
    await stream.until(() => stream.isOver);
    const text = textIn(stream.events.at(-1).response);
    const compared = Math.min(text.length, undisturbed.get(player)!.length);
    expect(compared).toBeGreaterThan(0);
    expect(text.slice(0, compared)).toBe(undisturbed.get(player)!.slice(0, compared));
    stream.close();
  };
}

const textIn = (response: Json): string => response.output[0].content[0].text;

/** Looks at the answer, and asks again where one answer is not enough. */
export async function look(
  player: Player,
  condition: Condition,
  one: Case,
  answer: Answer,
): Promise<void> {
  switch (condition.check) {
    case "message_names":
      return expect(answer.body.error.message).toContain(condition.text);
    case "header_names": {
      const names = String(answer.headers[condition.header]).split(/\s*,\s*/);
      return expect(names).toEqual(expect.arrayContaining(condition.names));
    }
    case "numbers_in_responses":
      return numbersInResponses(player, condition.fields, one, answer);
    case "another_draw":
      if (player.engine === "mlx") await anotherDraw(player, one, condition.seed);
      return;
    case "logprobs_add_up":
      return logprobsAddUp(answer.body.choices[0], condition.likeliest);
  }
}

async function numbersInResponses(
  player: Player,
  fields: readonly string[],
  { body }: Case,
  answer: Answer,
): Promise<void> {
  const fieldsOf = JSON.parse(body.raw!);
  const { text } = await player.ask({
    method: "POST",
    path: "/v1/responses",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...fieldsOf, stream: true }),
  });
  const streamed = [...text.matchAll(/^data: (.+)$/gm)].map(([, data]) => JSON.parse(data!));
  const message = JSON.stringify({ ...fieldsOf, type: "response.create" });
  const sent = await player.eventsOf(message);
  const shown = [...streamed, ...sent].flatMap(({ response }) => response ?? []);
  expect(shown.length).toBeGreaterThanOrEqual(6);
  for (const response of [answer.body, ...shown])
    for (const field of fields) expect(response, field).toHaveProperty(field, expect.any(Number));
}

async function anotherDraw(player: Player, { route, body }: Case, seed: string): Promise<void> {
  const path = route.split(" ")[1]!;
  const warm = body
    .raw!.replace(/\{/, '{"temperature":1.5,')
    .replace(/"max_tokens":\d+/, '"max_tokens":6');
  const text = async (raw: string) => JSON.stringify((await player.postJson(path, raw)).choices);
  const own = await text(warm);
  expect(await text(warm)).toBe(own);
  expect(await text(warm.replace(/"seed":-?\d+/, `"seed":${seed}`))).not.toBe(own);
}

function logprobsAddUp({ text, logprobs }: Json, likeliest: number): void {
  const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs;
  // Offsets count code points.
  const characters = [...text];
  for (const [i, token] of tokens.entries()) {
    const top = top_logprobs[i];
    expect(Object.keys(top), `alternatives of token ${i}`).toHaveLength(likeliest);
    expect(top[token], `the token ${i} that was drawn`).toBeCloseTo(token_logprobs[i], 5);
    const offset = text_offset[i];
    expect(offset).toBeLessThanOrEqual(characters.length);
    expect(offset).toBeGreaterThanOrEqual(text_offset[i - 1] ?? 0);
    // A piece of a character has no text of its own.
    if (/\ufffd|^bytes:|^$/.test(token)) continue;
    expect(characters.slice(offset).join("").startsWith(token), token).toBe(true);
  }
  expect(text_offset[0]).toBe(0);
}
