/** Limits of keys as clients meet them: over HTTP in both shapes, over WebSocket, and on the operator's routes. */
import { describe, expect, it } from "vitest";
import type { KeySource } from "../../../../src-ts/keys/entry.js";
import { parseKeys } from "../../../../src-ts/keys/parse.js";
import { KeyList } from "../../../../src-ts/protocol/index.js";
import { helloParts, hold } from "../../support/scripted-engine.js";
import { eventually, startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

/** A key file in a test's hands. */
class Source implements KeySource {
  entries;
  mistake = undefined;
  readAt = Date.now();
  private callbacks: (() => void)[] = [];

  constructor(text: string) {
    this.entries = parseKeys(text).map(({ entry }) => entry);
  }

  onChange(callback: () => void): void {
    this.callbacks.push(callback);
  }

  becomes(text: string): void {
    this.entries = parseKeys(text).map(({ entry }) => entry);
    for (const callback of this.callbacks) callback();
  }
}

async function start(text: string) {
  const source = new Source(text);
  const server = await startServer({ keys: source });
  const as = (key: string, more: Record<string, string> = {}) => ({
    headers: { authorization: `Bearer ${key}`, ...more },
  });
  const chat = (key: string, fields: object = {}, more: Record<string, string> = {}) =>
    server.post("/v1/chat/completions", { messages, ...fields }, as(key, more));
  const used = async (name: string) => {
    const answer = await server.get("/admin/keys", as("root"));
    return KeyList.parse(await answer.json()).keys.find((key) => key.name === name)!;
  };
  return { ...server, source, as, chat, used };
}

const messages = [{ role: "user", content: "hi" }];
const root = "root name=root admin=yes\n";
const tokens = 7 + helloParts.length;

const errorOf = async (answer: Response) => {
  const { error } = (await answer.json()) as { error: Record<string, unknown> };
  return { status: answer.status, ...error };
};

describe("a rate", () => {
  it("is told on every answer, and refuses with the limit and the time", async () => {
    const { chat, used } = await start(`${root}a name=alice requests-per-minute=2`);
    const first = await chat("a");
    const rate = (answer: Response) => [
      answer.headers.get("x-ratelimit-limit-requests"),
      answer.headers.get("x-ratelimit-remaining-requests"),
    ];
    expect([first.status, rate(first)]).toEqual([200, ["2", "1"]]);
    expect(first.headers.get("x-ratelimit-reset-requests")).toMatch(/^(30|29\.\d)s$/);
    expect(first.headers.has("x-ratelimit-limit-tokens")).toBe(false);
    const streamed = await chat("a", { stream: true });
    expect([await streamed.text(), rate(streamed)]).toEqual([
      expect.stringContaining("[DONE]"),
      ["2", "0"],
    ]);
    const refused = await chat("a");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(25);
    expect(rate(refused)).toEqual(["2", "0"]);
    expect(await errorOf(refused)).toEqual({
      ...{ status: 429, type: "rate_limit_error", code: "rate_limit_exceeded", param: null },
      message: expect.stringMatching(
        /^Key alice .*requests per minute \(requests-per-minute\): 2\. Try again in \d+ s\.$/,
      ),
    });
    expect(await used("alice")).toMatchObject({
      limits: { requests_per_minute: 2, tokens_per_day: null },
      use: { requests: 2, refused: { "requests-per-minute": 1 }, running: 0 },
    });
    const free = await chat("root");
    expect(free.headers.has("x-ratelimit-limit-requests")).toBe(false);
  });

  it("is told to Anthropic's clients by their names, and refused in their shape", async () => {
    const { post, as } = await start("a name=alice tokens-per-minute=1");
    const send = () => post("/v1/messages", { max_tokens: 5, messages }, as("a"));
    const first = await send();
    expect(first.headers.get("anthropic-ratelimit-tokens-limit")).toBe("1");
    expect(first.headers.get("anthropic-ratelimit-tokens-reset")).toMatch(/^\d{4}-.*Z$/);
    const refused = await send();
    expect([refused.status, await refused.json()]).toEqual([
      429,
      {
        type: "error",
        error: {
          type: "rate_limit_error",
          message: expect.stringContaining("tokens per minute (tokens-per-minute): 1"),
          code: "rate_limit_exceeded",
          param: null,
        },
        request_id: expect.any(String),
      },
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(60);
  });

  it("counts one call once, however many answers it has, and its prompt once", async () => {
    const { chat, used } = await start(`${root}a name=alice requests-per-minute=1`);
    expect((await chat("a", { n: 3 })).status).toBe(200);
    expect(await used("alice")).toMatchObject({
      use: { requests: 1, prompt_tokens: 7, completion_tokens: 3 * helloParts.length },
    });
  });
});

describe("a budget", () => {
  it("is spent by whole responses, and not to be tried again", async () => {
    const { chat, used } = await start(`${root}a name=alice tokens-total=${tokens + 1}`);
    for (const _ of [1, 2]) expect((await chat("a")).status).toBe(200);
    const refused = await chat("a");
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(await errorOf(refused)).toMatchObject({ status: 429, code: "insufficient_quota" });
    expect((await used("alice")).use).toMatchObject({
      ...{ tokens_today: 2 * tokens, tokens_this_month: 2 * tokens, tokens_total: 2 * tokens },
      refused: { "tokens-total": 1 },
    });
  });
});

describe("answers at once", () => {
  it("hold their places until they have ended, whoever ends them", async () => {
    const { engine, post, as, used, url } = await start(`${root}a name=alice concurrency=2`);
    engine.script = hold;
    const background = (fields = {}) =>
      post("/v1/responses", { input: "hi", background: true, ...fields }, as("a"));
    const keyed = { "idempotency-key": "k" };
    const again = () =>
      post("/v1/responses", { input: "hi", background: true }, as("a", keyed)).then((r) =>
        r.json(),
      );
    const first = (await again()) as { id: string };
    expect((await background()).status).toBe(200);
    const refused = await background();
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await errorOf(refused)).toMatchObject({
      ...{ status: 429, code: "concurrency_limit_exceeded" },
      message: expect.stringContaining("(concurrency): 2"),
    });
    expect((await used("alice")).use.running).toBe(2);
    await post(`/v1/responses/${first.id}/cancel`, {}, as("a"));
    // The same key attaches to what has ended, and takes no place.
    expect(await again()).toMatchObject({ id: first.id });
    expect((await used("alice")).use.running).toBe(1);
    expect((await background()).status).toBe(200);
    const many = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ messages, n: 3 }),
      headers: { ...as("a").headers, "content-type": "application/json" },
    });
    expect(await errorOf(many)).toMatchObject({ status: 400, code: "invalid_value", param: "n" });
  });

  it("come back from what the engine refuses", async () => {
    const { engine, chat, used } = await start(`${root}a name=alice concurrency=1`);
    engine.draining = true;
    for (const _ of [1, 2]) expect((await chat("a")).status).toBe(503);
    engine.draining = false;
    expect((await chat("a")).status).toBe(200);
    expect((await used("alice")).use).toMatchObject({ running: 0, refused: {} });
  });
});

describe("models", () => {
  it("that a key may not use are 403, and not shown to it", async () => {
    const { get, post, chat, as, engine } = await start("a name=alice models=second,alias\nb");
    engine.models_[0]!.aliases = ["alias"];
    const ids = async (key: string) => {
      const answer = await get("/v1/models", as(key));
      return ((await answer.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    expect(await ids("a")).toEqual(["org/first", "alias", "second"]);
    engine.models_[0]!.aliases = [];
    expect([await ids("a"), await ids("b")]).toEqual([["second"], ["org/first", "second"]]);
    expect((await get("/v1/models/org/first", as("a"))).status).toBe(404);
    expect((await chat("a", { model: "second" })).status).toBe(200);
    const count = { messages, model: "org/first" };
    expect((await post("/v1/messages/count_tokens", count, as("a"))).status).toBe(403);
    for (const fields of [{}, { model: "org/first" }, { model: "unheard-of" }])
      expect(await errorOf(await chat("a", fields))).toMatchObject({
        ...{ status: 403, type: "permission_error", code: "model_not_allowed", param: "model" },
        message: "This key may not use this model; it may use second, alias.",
      });
    expect((await chat("b")).status).toBe(200);
  });
});

describe("priorities", () => {
  it("have a default and a cap, which is said where it is met", async () => {
    const { chat, engine, as, post } = await start(
      "a name=alice priority=batch priority-max=normal\nb name=bob priority-max=batch",
    );
    const asked = (value: string) => ({ "x-mlx-serving-priority": value });
    const answers = [
      await chat("a"),
      await chat("a", { seed: 1, unknown: 1 }, asked("interactive")),
      await chat("a", {}, asked("normal")),
      await chat("b"),
    ];
    expect(engine.submissions.map(({ priority }) => priority)).toEqual([
      ...["batch", "normal", "normal", "batch"],
    ]);
    expect(answers.map(({ headers }) => headers.get("x-mlx-serving-ignored"))).toEqual([
      ...[null, "x-mlx-serving-priority, unknown", null, null],
    ]);
    const wrong = await post("/v1/responses", { input: "hi" }, as("a", asked("highest")));
    expect(await errorOf(wrong)).toMatchObject({ status: 400, code: "invalid_header" });
  });
});

describe("the operator's routes", () => {
  const statuses = async (text: string, key: string) => {
    const { get, post, as } = await start(text);
    const codes = ["/admin/workers", "/admin/keys", "/metrics", "/v1/models"].map(
      async (path) => (await get(path, as(key))).status,
    );
    const timeline = await get("/debug/requests/none", as(key));
    const restart = await post("/admin/workers/w1/restart", "", as(key));
    return [...(await Promise.all(codes)), timeline.status, restart.status];
  };

  it("are for all keys of a file that says nothing of it, else for those that it names", async () => {
    const all = [200, 200, 200, 200, 404, 202];
    const none = [403, 403, 403, 200, 403, 403];
    expect(await statuses("a\nb", "a")).toEqual(all);
    expect(await statuses("a\nb admin=no", "a")).toEqual(all);
    expect(await statuses("a\nb admin=no", "b")).toEqual(none);
    expect(await statuses("a\nb admin=yes", "b")).toEqual(all);
    expect(await statuses("a\nb admin=yes", "a")).toEqual(none);
    expect(await statuses("a\nb admin=metrics", "b")).toEqual([403, 403, 200, 200, 403, 403]);
  });

  it("tell what keys have used by their names, and no key", async () => {
    const { get, as, chat, source } = await start(`${root}alice-key name=alice\nbob-key name=bob`);
    await chat("alice-key");
    const figures = await (await get("/metrics", as("root"))).text();
    for (const line of [
      'mlx_serving:api_key_requests_total{key="alice"} 1',
      'mlx_serving:api_key_requests_total{key="bob"} 0',
      'mlx_serving:api_key_prompt_tokens_total{key="alice"} 7',
      `mlx_serving:api_key_generation_tokens_total{key="alice"} ${helloParts.length}`,
      'mlx_serving:api_key_running{key="alice"} 0',
      "mlx_serving:api_key_file_ok 1",
    ])
      expect(figures).toContain(`${line}\n`);
    const list = await (await get("/admin/keys", as("root"))).text();
    for (const text of [figures, list]) {
      expect(text).not.toContain("alice-key");
      for (const { hash } of source.entries) expect(text).not.toContain(hash.toString("hex", 0, 6));
    }
    expect(KeyList.parse(JSON.parse(list)).keys.map(({ name, admin }) => [name, admin])).toEqual([
      ...[
        ["root", true],
        ["alice", false],
        ["bob", false],
      ],
    ]);
  });

  it("say of a server without keys that it has none", async () => {
    const { get } = await startServer();
    const list = KeyList.parse(await (await get("/admin/keys")).json());
    expect(list).toEqual({ required: false, file: { read_at: null, mistake: null }, keys: [] });
  });
});

describe("a key that is no more", () => {
  it("is 401, and so is one that has expired", async () => {
    const { chat, source } = await start("a name=alice\nb name=bob expires=2020-01-31");
    expect((await chat("a")).status).toBe(200);
    expect(await errorOf(await chat("b"))).toMatchObject({ status: 401, code: "expired_api_key" });
    source.becomes("c name=carol");
    expect(await errorOf(await chat("a"))).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((await chat("c")).status).toBe(200);
  });

  it("has its streams finished, and then its sockets closed with 1008", async () => {
    const { url, source, engine, as, chat } = await start("a name=alice\nb name=bob");
    engine.script = hold;
    const [idle, busy, other] = await Promise.all([
      openSocket(url, as("a")),
      openSocket(url, as("a")),
      openSocket(url, as("b")),
    ]);
    busy.create({ stream_id: "one" });
    busy.create({ stream_id: "one" });
    await busy.type("response.in_progress");
    const streamed = await Promise.all([chat("a", { stream: true }), finish(engine, 1)]);
    expect(streamed[0].status).toBe(200);
    source.becomes("b name=bob");
    expect(await idle.closed).toEqual({ code: 1008, reason: "invalid_api_key" });
    busy.create({ event_id: "late" });
    expect(await busy.type("error")).toMatchObject({
      ...{ status: 401, event_id: "late", error: { code: "invalid_api_key" } },
    });
    finish(engine, 0);
    expect(await busy.type("response.completed")).toBeDefined();
    // What waited in the lane was never accepted.
    expect(await busy.type("error", 2)).toMatchObject({ status: 401, stream_id: "one" });
    expect(await busy.closed).toEqual({ code: 1008, reason: "invalid_api_key" });
    other.create();
    await eventually(() => engine.runs.length === 3);
    expect(other.close).toBeUndefined();
  });

  async function finish(engine: Awaited<ReturnType<typeof start>>["engine"], index: number) {
    await eventually(() => engine.runs.length > index);
    engine.runs[index]!.emit("text");
    engine.runs[index]!.end({ kind: "stop" });
  }
});

describe("over WebSocket", () => {
  it("a limit is an error about its message, and the socket stays", async () => {
    const { url, as } = await start("a name=alice requests-per-minute=1 priority-max=batch");
    const socket = await openSocket(url, { ...as("a"), query: "?events=mlx_serving" });
    socket.create({ "mlx_serving:priority": "normal" });
    const created = await socket.type("response.created");
    expect(created["mlx_serving:ignored"]).toEqual(["mlx_serving:priority"]);
    await socket.ended();
    socket.create({ event_id: "second", stream_id: "lane" });
    expect(await socket.type("error")).toEqual({
      ...{ type: "error", status: 429, event_id: "second", stream_id: "lane" },
      error: {
        ...{ type: "rate_limit_error", code: "rate_limit_exceeded", param: null },
        message: expect.stringContaining("requests per minute (requests-per-minute): 1"),
      },
    });
    socket.send({ type: "response.cancel", response_id: "resp_unknown" });
    expect(await socket.type("error", 2)).toMatchObject({ status: 404 });
  });

  it("a ticket of a key that went opens nothing", async () => {
    const { url, post, as, source } = await start("a name=alice\nb name=bob");
    const { ticket } = (await (await post("/v1/ws-tickets", {}, as("a"))).json()) as {
      ticket: string;
    };
    source.becomes("b name=bob");
    await expect(openSocket(url, { query: `?ticket=${ticket}` })).rejects.toThrow("401");
  });
});
