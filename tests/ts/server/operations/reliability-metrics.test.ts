import { expect, it, onTestFinished } from "vitest";
import { createServer } from "../../../../src-ts/server/index.js";
import { hold, ScriptedEngine } from "../../support/scripted-engine.js";
import { startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

const metricsOf = async (get: (path: string) => Promise<Response>) => {
  const text = await (await get("/metrics")).text();
  return (name: string, labels = "") => {
    const start = `mlx_serving:${name}${labels && `{${labels}}`} `;
    const line = text.split("\n").find((one) => one.startsWith(start));
    return line === undefined ? undefined : Number(line.slice(start.length));
  };
};

it("/metrics counts migrations, replayed tokens and restarts", async () => {
  const { get, post, engine } = await startServer();
  engine.script = hold;
  const answer = post("/v1/responses", { input: "Hi" });
  while (engine.runs.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  const [run] = engine.runs;
  engine.migrate(run!, 1);
  engine.migrate(run!, 2);
  engine.tellObservers(({ replayed }) => replayed?.(run!.log, { tokens: 37 }));
  run!.end({ kind: "stop" });
  await answer;
  const value = await metricsOf(get);
  const model = 'model_name="org/first"';
  expect(value("requests_migrated_total", `${model},reason="workerLost"`)).toBe(2);
  expect(value("replayed_tokens_total", model)).toBe(37);
  expect(value("worker_restarts_total", `worker="w1",${model}`)).toBe(2);
  expect(value("ready")).toBe(1);
  engine.readiness_ = { ready: false, reason: "loading", retryAfterS: 1 };
  expect((await metricsOf(get))("ready")).toBe(0);
});

it("/metrics counts readers that came back, and tells how far the slowest is behind", async () => {
  const { get, post, engine, url } = await startServer();
  engine.script = hold;
  const asked = { input: "Hi", store: true, background: true };
  const { id } = (await (await post("/v1/responses", asked)).json()) as { id: string };
  const [run] = engine.runs;
  // One that never reads on.
  const slow = run!.log.read(-1);
  onTestFinished(() => slow.close());
  for (let i = 0; i < 10; i++) run!.emit("word ");
  const behind = await metricsOf(get);
  expect(behind("readers")).toBe(1);
  expect(behind("reader_lag_entries")).toBe(run!.log.entries.length);
  run!.end({ kind: "stop" });
  await (await get(`/v1/responses/${id}?stream=true&starting_after=3`)).text();
  await (await get(`/v1/responses/${id}?stream=true`)).text();
  await (await get(`/v1/responses/${id}`)).text();
  const socket = await openSocket(url);
  const type = "mlx_serving:response.resume";
  socket.send({ type, response_id: id, starting_after: -1 });
  await socket.type("response.completed");
  const value = await metricsOf(get);
  expect(value("responses_resumed_total", 'transport="sse"')).toBe(2);
  expect(value("responses_resumed_total", 'transport="websocket"')).toBe(1);
});

it("/metrics tells of a data folder where there is one", async () => {
  const { get } = await startServer();
  expect((await metricsOf(get))("data_folder_bytes")).toBeUndefined();
  const engine = new ScriptedEngine();
  engine.storage_ = { bytes: 5_000, liveBytes: 3_000, segments: 2, failing: false };
  const server = createServer({ engine, config: { port: 0 } });
  onTestFinished(() => server.close());
  const { url } = await server.listen();
  const getThere = (path: string) => fetch(`${url}${path}`);
  const value = await metricsOf(getThere);
  expect(value("data_folder_bytes")).toBe(5_000);
  expect(value("data_folder_live_bytes")).toBe(3_000);
  expect(value("data_folder_segments")).toBe(2);
  expect(value("data_folder_writable")).toBe(1);
  engine.storage_ = { ...engine.storage_, failing: true };
  expect((await metricsOf(getThere))("data_folder_writable")).toBe(0);
});
