/** The feed of the console: computed for whoever watches, once for all, and only what is new. */
import { expect, it } from "vitest";
import { LiveEvent } from "../../../../src-ts/protocol/live.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, pass, startServer } from "../../support/test-server.js";

/** A viewer over HTTP, as the page is one. */
async function watch(url: string) {
  const stop = new AbortController();
  const answer = await fetch(`${url}/admin/events`, { signal: stop.signal });
  const events: LiveEvent[] = [];
  const ended = (async () => {
    let rest = "";
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop()!;
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined) events.push(LiveEvent.parse(JSON.parse(data)));
      }
    }
  })().catch(() => {});
  return { events, ended, stop: () => stop.abort(), answer };
}

const snapshots = (events: LiveEvent[]) => events.filter((event) => event.type === "snapshot");

it("computes nothing while nobody watches, and the same once for all", async () => {
  const { url, engine, post } = await startServer();
  expect(engine.views).toBe(0);
  const first = await watch(url);
  const second = await watch(url);
  await eventually(() => first.events.length >= 2 && second.events.length >= 2);
  expect(first.events.map(({ type }) => type).slice(0, 2)).toEqual(["history", "snapshot"]);
  engine.script = hold;
  await post("/v1/responses", { input: "my secret prompt", background: true });
  await eventually(() => snapshots(first.events).at(-1)!.requests.length === 1);
  await eventually(() => snapshots(second.events).at(-1)!.requests.length === 1);
  expect(JSON.stringify([first.events, second.events])).not.toContain("secret");
  // Nothing changes: looks go on, and nothing is sent.
  const [views, sent] = [engine.views, snapshots(first.events).length];
  await eventually(() => engine.views >= views + 2);
  expect(snapshots(first.events).length).toBe(sent);
  first.stop();
  second.stop();
  await Promise.all([first.ended, second.ended]);
  // Were it to go on, this would too.
  for (let before = -1; before !== engine.views; await pass(600)) before = engine.views;
});

it("has room for so many, and ends with the server", async () => {
  const { url, server } = await startServer({ limits: { viewersMax: 1 } });
  const viewer = await watch(url);
  await eventually(() => viewer.events.length >= 2);
  expect((await fetch(`${url}/admin/events`)).status).toBe(503);
  await server.drain(1_000);
  await viewer.ended;
});

it("orders of the console are told apart by what they name", async () => {
  const { post, get, engine } = await startServer();
  expect((await post("/admin/workers/w1/kill", {})).status).toBe(202);
  expect(engine.killed).toEqual(["w1"]);
  expect((await post("/admin/workers/w9/kill", {})).status).toBe(404);
  engine.operator.killWorker = () => false;
  expect((await post("/admin/workers/w1/kill", {})).status).toBe(409);
  expect((await post("/admin/requests/resp_0/cancel", {})).status).toBe(404);
  expect((await get("/debug/requests/resp_0")).status).toBe(404);
  engine.script = hold;
  const made = await post("/v1/responses", { input: "hi", background: true });
  const { id } = (await made.json()) as { id: string };
  expect((await post(`/admin/requests/${id}/cancel`, {})).status).toBe(202);
  expect(engine.get(id, "open")?.ending).toEqual({ kind: "cancelled" });
  // Another site's page can't order anything.
  const headers = { origin: "https://evil.example" };
  expect((await post("/admin/workers/w1/kill", {}, { headers })).status).toBe(403);
});
