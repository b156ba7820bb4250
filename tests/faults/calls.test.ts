/**
 * A worker that dies in the middle of a call of a tool, of its reasoning, between a call's end and the
 * answer's: the same call goes on, with the same ids, over each API.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Engine } from "../../src-ts/engine/api.js";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { FaultBench, type Faults, watching, wholeFrame } from "./support/faults.js";
import { type Played, played } from "./support/played.js";
import { type AskedTurn, type TurnApi, turnApis, turnOver } from "./support/turns.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const thought = "Hm: ä";
const paths = ["/a/\u00fc\u20ac", 'b \\" c'.padEnd(40, "."), "d"];
const callOf = (path: string): string =>
  `<tool_call>${JSON.stringify({ name: "look", arguments: { path } })}</tool_call>`;
const say = `<think>${thought}</think>So.${paths.slice(0, 2).map(callOf).join("")}`;
const script = [{ when: "Look", say, repeat: true }];

describe("the log of a turn whose worker dies", () => {
  const tool = { name: "look", description: "", parameters: {}, custom: false };
  const ask = async (engine: Engine): Promise<Played> =>
    played(
      await engine.submit({
        input: {
          kind: "chat",
          messages: [{ role: "user", content: "Look" }],
          tools: { tools: [tool], choice: "auto", parallel: true },
        },
      }),
    );

  it("is the same, wherever in reasoning, text and calls that was", async () => {
    const engine = { fakeScript: script };
    // At which steps pieces begin or end, and what was said is no text of a message.
    const borders: number[] = [];
    let steps = 0;
    const between = watching((message) => {
      if (message.type !== "step") return;
      steps++;
      const told = message.rows.flatMap(([, , , said]) => (typeof said === "string" ? [] : said));
      if (told.some(([kind]) => kind === "call" || kind === "callEnd")) borders.push(steps);
    });
    let whole: Played;
    {
      await using bench = await new FaultBench({ engine, between }).start();
      whole = await ask(bench.engine);
    }
    expect(whole.items).toMatchObject([
      { kind: "reasoning", texts: [thought] },
      { kind: "message", texts: ["So."] },
      ...paths.slice(0, 2).map((path, index) => ({
        ...{ kind: "functionCall", name: "look", callId: `call_own_${index}` },
        ...{ isIncomplete: false, isDone: true },
        texts: [JSON.stringify({ path })],
      })),
    ]);
    expect(whole.end).toMatchObject({ ending: { kind: "toolCalls" } });
    expect(borders).toHaveLength(4);
    const places = [9, ...borders.flatMap((nth) => [nth, nth + 1, nth + 12]), steps];
    const faults: Faults[] = [
      ...[...new Set(places)].map((nth) => ({
        dieInFrame: { frame: "step", nth: Math.min(nth, steps), byte: wholeFrame },
      })),
      { dieInFrame: { frame: "step", nth: borders[1]!, byte: 30 } },
      { dieInFrame: { frame: "ended", byte: 0 } },
      { dieInFrame: { frame: "ended", byte: 30 } },
    ];
    await using bench = new FaultBench({ engine });
    let given = 0;
    let pending = 0;
    bench.faults = () => ({ ...faults[given++], afterEnded: pending });
    bench.engine.observe({
      ended: () => {
        pending = 0;
      },
    });
    await bench.start();
    for (let deaths = 1; deaths <= faults.length; deaths++) {
      pending = 1;
      expect(await ask(bench.engine)).toEqual(whole);
      await bench.until(() => bench.info.restarts >= deaths);
    }
  });
});

/** Asks undisturbed and then with a SIGKILL of the worker once so many characters of this are there. */
async function killedAt(
  kind: "text" | "arguments",
  characters: number,
  server: ServerProcess,
  api: TurnApi,
  asked: AskedTurn,
) {
  const undisturbed = await turnOver(api, asked);
  const { restarts } = await server.worker();
  const pid = (await server.worker()).pid!;
  let isKilled = false;
  const disturbed = await turnOver(api, {
    ...asked,
    onProgress: (of, count) => {
      if (isKilled || of !== kind || count < characters) return;
      isKilled = true;
      process.kill(pid, "SIGKILL");
    },
  });
  expect(isKilled).toBe(true);
  await server.until((worker) => worker.restarts > restarts);
  return { undisturbed, disturbed };
}

const finishes = {
  chat: "tool_calls",
  responses: "completed",
  websocket: "completed",
  anthropic: "tool_use",
};

describe("a SIGKILL in the middle of a call, streamed", () => {
  let server: ServerProcess;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "mlx-serving-calls-"));
    const file = join(folder, "script.json");
    writeFileSync(file, JSON.stringify(script));
    const flags = ["--engine", "fake", "--fake-tokens-per-second", "250", "--fake-script", file];
    flags.push("--alias", "any=smollm2-135m-instruct");
    server = await startServer({ flags });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  it.each(turnApis)("over %s: the same text, calls and ids", async (api) => {
    const asked = { url: server.url, prompt: "Look" };
    for (const characters of [1, JSON.stringify({ path: paths[0] }).length + 3]) {
      const { undisturbed, disturbed } = await killedAt(
        "arguments",
        characters,
        server,
        api,
        asked,
      );
      expect(undisturbed).toMatchObject({ text: "So.", finish: finishes[api] });
      expect(undisturbed.reasoning).toBe(thought);
      expect(undisturbed.calls.map((call) => JSON.parse(call.arguments))).toEqual(
        paths.slice(0, 2).map((path) => ({ path })),
      );
      expect(disturbed).toEqual(undisturbed);
    }
  });
});

describe("a SIGKILL in the middle of an answer of the embedded model that keeps to a schema", () => {
  let server: ServerProcess;
  const schema = {
    type: "object",
    properties: { path: { type: "string", minLength: 24, maxLength: 40 } },
    required: ["path"],
    additionalProperties: false,
  };
  const temperature = 0.9;
  const format = { type: "json_schema", name: "answer", schema };
  const fields = {
    chat: { response_format: { type: "json_schema", json_schema: format }, temperature },
    responses: { text: { format }, temperature },
    websocket: { text: { format }, temperature },
    // Without a seed: the likeliest of all.
    anthropic: { output_config: { format: { type: "json_schema", schema } }, temperature: 0 },
  };
  const ends = { ...finishes, chat: "stop", anthropic: "end_turn" };

  beforeAll(async () => {
    const flags = ["--max-batch", "1", "--alias", "any=smollm2-135m-instruct"];
    server = await startServer({ flags });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  it.each(turnApis)("over %s: the same text and ids", async (api) => {
    const asked = { url: server.url, prompt: "A path, as JSON.", hasTools: false, fields };
    const { undisturbed, disturbed } = await killedAt("text", 12, server, api, asked);
    expect(undisturbed.finish).toBe(ends[api]);
    const { path } = JSON.parse(undisturbed.text) as { path: string };
    expect(path.length).toBeGreaterThanOrEqual(24);
    expect(disturbed).toEqual(undisturbed);
  });
});
