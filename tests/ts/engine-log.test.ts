import { expect, it } from "vitest";
import { logEngine } from "../../src-ts/engine-log.js";
import { hold, ScriptedEngine } from "./support/scripted-engine.js";

function start() {
  const engine = new ScriptedEngine();
  const lines: [string, string, Record<string, unknown>][] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push([level, message, { ...fields }]);
  const stop = logEngine(engine, {
    ...{ debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
  });
  const submit = () =>
    engine.submit({
      input: { kind: "text", text: "canary" },
      origin: { requestId: "req_1" },
    });
  return { engine, lines, stop, submit };
}

it("says of each response how it ended, with its ids and no text", async () => {
  const { engine, lines, submit } = start();
  engine.script = hold;
  const { id } = await submit();
  engine.migrate(engine.runs[0]!, 1);
  engine.runs[0]!.end({ kind: "stop", sequence: "canary" });
  await submit();
  engine.runs[1]!.end({ kind: "failed", code: "worker_crashed", message: "canary" });
  const ids = { response: id, requestId: "req_1" };
  const counts = { model: "org/first", ms: 10, promptTokens: 7, tokens: 0 };
  expect(lines).toEqual([
    ["debug", "response lost its worker and goes on", { ...ids, attempt: 1, reason: "workerLost" }],
    ["debug", "response ended", { ...ids, ...counts, finish: "stop" }],
    [
      "warn",
      "response failed",
      { ...counts, response: engine.runs[1]!.log.id, requestId: "req_1", code: "worker_crashed" },
    ],
  ]);
});

it("says who was turned away, and what the engine says itself", () => {
  const { engine, lines, stop } = start();
  const tell = () =>
    engine.tellObservers((observer) => {
      observer.refused?.({
        ...{ code: "queue_full", status: 429, model: "org/first", id: "resp_1" },
        origin: { requestId: "req_2" },
      });
      observer.log?.("error", "worker fault", { worker: "w1" });
    });
  tell();
  const ids = { response: "resp_1", requestId: "req_2" };
  const expected = [
    [
      "debug",
      "request turned away",
      { ...ids, model: "org/first", code: "queue_full", status: 429 },
    ],
    ["error", "worker fault", { worker: "w1" }],
  ];
  expect(lines).toEqual(expected);
  stop();
  tell();
  expect(lines).toEqual(expected);
});
