/**
 * Every case against the built program, on the embedded model and on the fake engine. CASES_FILE: another
 * list than ours.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Case, ownList, readCases } from "./cases.js";
import { look, watch } from "./conditions.js";
import { type Answer, type Engine, Player } from "./player.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const cases = readCases(process.env.CASES_FILE ?? ownList);
const engines: Engine[] = ["fake", "mlx"];

describe.each(engines)("on the engine %s", (engine) => {
  let player: Player;
  beforeAll(async () => {
    player = await Player.start(engine);
  });
  afterAll(async () => {
    await player?.[Symbol.asyncDispose]();
  });

  for (const one of cases) {
    const note = one.unchecked === undefined ? "" : ` (not checked: ${one.unchecked})`;
    it(`${one.name}${note}`, () => play(player, one));
  }
});

async function play(player: Player, one: Case): Promise<void> {
  const watching = await Promise.all(one.conditions.map((condition) => watch(player, condition)));
  const answer = await player.play(one);
  for (const afterwards of watching) await afterwards();
  compare(one, answer);
  for (const condition of one.conditions) await look(player, condition, one, answer);
}

function compare({ expect: { status, param, code, event, headers } }: Case, answer: Answer): void {
  const { error } = answer.body;
  expect({ status: answer.status, error }).toMatchObject({
    status,
    ...(param !== undefined && { error: { param } }),
  });
  if (code !== undefined) expect(error.code).toBe(code);
  if (event !== undefined) expect(answer.event).toBe(event);
  for (const [name, value] of Object.entries(headers ?? {}))
    expect(answer.headers[name], name).toContain(value);
}
