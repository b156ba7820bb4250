/** The feed of the console: computed for whoever watches, once for all, and only what is new. */
import { describe, expect, it } from "vitest";
import type { KeySource } from "../../../../src-ts/keys/entry.js";
import { parseKeys } from "../../../../src-ts/keys/parse.js";
import { LiveEvent } from "../../../../src-ts/protocol/live.js";
import { hold } from "../../support/scripted-engine.js";
import { eventually, pass, startServer } from "../../support/test-server.js";

/** A viewer over HTTP, as the page is one. */
async function watch(url: string, headers: Record<string, string> = {}) {
  const stop = new AbortController();
  const answer = await fetch(`${url}/admin/events`, { signal: stop.signal, headers });
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

describe("ends with a last event that says why", () => {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  /** Keys whose file can be changed. */
  function changing(text: string) {
    let now = text;
    const changed: (() => void)[] = [];
    const source: KeySource = {
      get entries() {
        return parseKeys(now).map(({ entry }) => entry);
      },
      mistake: undefined,
      readAt: undefined,
      onChange: (callback) => void changed.push(callback),
    };
    const change = (next: string) => {
      now = next;
      for (const callback of changed) callback();
    };
    return { source, change };
  }
  const lastOf = async (viewer: Awaited<ReturnType<typeof watch>>) => {
    await viewer.ended;
    const last = viewer.events.at(-1)!;
    return last.type === "ended" ? last.error.code : last.type;
  };

  it("when its session is closed, and not with another's", async () => {
    const { url, post } = await startServer({ apiKeys: ["the-key"] });
    const session = async () => {
      const opened = await post("/admin/session", {}, { headers: bearer("the-key") });
      return bearer(((await opened.json()) as { token: string }).token);
    };
    const [own, other] = [await session(), await session()];
    const [viewer, byKey, kept] = [
      await watch(url, own),
      await watch(url, bearer("the-key")),
      await watch(url, other),
    ];
    await eventually(() => viewer.events.length >= 2 && kept.events.length >= 2);
    await fetch(`${url}/admin/session`, { method: "DELETE", headers: own });
    expect(await lastOf(viewer)).toBe("session_expired");
    const looks = kept.events.length;
    await post("/v1/responses", { input: "hi" }, { headers: other });
    await eventually(() => kept.events.length > looks);
    kept.stop();
    byKey.stop();
  });

  it.each([
    ["is gone", "other admin=yes", "invalid_api_key"],
    ["may no longer", "k admin=no\nother admin=yes", "admin_not_allowed"],
    ["has expired", "k admin=yes expires=2020-01-01T00:00:00Z", "expired_api_key"],
  ])("when its key %s", async (_, next, code) => {
    const { source, change } = changing("k admin=yes");
    const { url, post } = await startServer({ keys: source });
    const opened = await post("/admin/session", {}, { headers: bearer("k") });
    const { token } = (await opened.json()) as { token: string };
    const viewers = [await watch(url, bearer(token)), await watch(url, bearer("k"))];
    await eventually(() => viewers.every(({ events }) => events.length >= 2));
    change(next);
    for (const viewer of viewers) expect(await lastOf(viewer)).toBe(code);
  });
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
