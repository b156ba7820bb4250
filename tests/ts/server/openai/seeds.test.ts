/** A seed of 64 bits reaches the engine with every bit, whichever way it comes in. */
import { describe, expect, it } from "vitest";
import { connect } from "../../../../src-ts/client/index.js";
import { ErrorResponse } from "../../../../src-ts/protocol/index.js";
import { startServer } from "../../support/test-server.js";
import { openSocket } from "../../support/test-socket.js";

/** As written on the wire, and as a worker takes it. */
const seeds: [string, bigint][] = [
  ["0", 0n],
  ["4294967295", 4_294_967_295n],
  ["4294967296", 4_294_967_296n],
  ["9007199254740993", 9_007_199_254_740_993n],
  ["9223372036854775806", 9_223_372_036_854_775_806n],
  ["9223372036854775807", 9_223_372_036_854_775_807n],
  ["18446744073709551615", 18_446_744_073_709_551_615n],
  ["-1", 18_446_744_073_709_551_615n],
  ["-9223372036854775808", 9_223_372_036_854_775_808n],
  ["-9223372036854775807", 9_223_372_036_854_775_809n],
  ["18446744073709551616", 0n],
  ["100000000000000000000", 7_766_279_631_452_241_920n],
];

const wrong = [
  "100000000000000000001",
  "-100000000000000000001",
  "1e30",
  "1.5",
  '"7"',
  "true",
  "[9223372036854775807]",
  "9".repeat(300),
  "9".repeat(400),
  "9007199254740993.5",
];

const bodies: [string, string][] = [
  ["/v1/chat/completions", '{"messages":[{"role":"user","content":"hi"}]'],
  ["/v1/completions", '{"prompt":"hi"'],
  ["/v1/responses", '{"input":"hi"'],
];

const drawn = (seed: number | bigint) => BigInt.asUintN(64, BigInt(seed));

describe("a seed", () => {
  it.each(bodies)("of %s is read exactly", async (path, body) => {
    const { post, engine } = await startServer();
    for (const [seed] of seeds)
      expect((await post(path, `${body},"seed":${seed}}`)).status, seed).toBe(200);
    const given = engine.submissions.map(({ sampling }) => drawn(sampling.seed));
    expect(given).toEqual(seeds.map(([, expected]) => expected));
  });

  it("is read exactly over WebSocket, and by our client from a bigint", async () => {
    const { url, engine } = await startServer();
    const socket = await openSocket(url);
    for (const [index, [seed]] of seeds.entries()) {
      socket.send(`{"type":"response.create","input":"hi","seed": ${seed} }`);
      await socket.ended(index + 1);
    }
    const client = await connect(url);
    await client.respond({ input: "hi", seed: 2n ** 64n - 2n }).final();
    await client.respond({ input: "hi", seed: 7 }).final();
    await client.close();
    const given = engine.submissions.map(({ sampling }) => drawn(sampling.seed));
    expect(given).toEqual([...seeds.map(([, expected]) => expected), 2n ** 64n - 2n, 7n]);
  });

  it.each(wrong)("%s is refused by name", async (seed) => {
    const { post, url, engine } = await startServer();
    for (const [path, body] of bodies) {
      const answer = await post(path, `${body},"seed":${seed}}`);
      expect(answer.status).toBe(400);
      expect(ErrorResponse.parse(await answer.json()).error.param).toBe("seed");
    }
    const socket = await openSocket(url);
    socket.send(`{"type":"response.create","input":"hi","seed":${seed}}`);
    expect((await socket.type("error")).error.param).toBe("seed");
    expect(engine.submissions).toEqual([]);
  });

  it("is the last of several, as for every parser, and no other field's", async () => {
    const { post, engine } = await startServer();
    const big = "9223372036854775807";
    const given = [
      [`"seed":1,"seed":${big}`, 9_223_372_036_854_775_807n],
      [`"seed":${big},"seed":5`, 5n],
      [`"s\\u0065ed":${big}`, 9_223_372_036_854_775_807n],
      [`"metadata":{"seed":"${big}"},"seed":\t${big}\n`, 9_223_372_036_854_775_807n],
    ] as const;
    for (const [fields] of given)
      expect((await post("/v1/responses", `{"input":"\\"seed\\":3",${fields}}`)).status).toBe(200);
    const seeds = engine.submissions.map(({ sampling }) => drawn(sampling.seed));
    expect(seeds).toEqual(given.map(([, seed]) => seed));
    const other = await post("/v1/responses", `{"input":"hi","max_output_tokens":${big}}`);
    expect(ErrorResponse.parse(await other.json()).error.param).toBe("max_output_tokens");
  });

  it("that differs in its last bit is another body for an idempotency key", async () => {
    const { post, engine } = await startServer();
    const headers = { "idempotency-key": "k" };
    const ask = (seed: string) =>
      post("/v1/responses", `{"input":"hi","seed":${seed}}`, { headers });
    expect((await ask("9223372036854775807")).status).toBe(200);
    expect((await ask("9223372036854775807")).status).toBe(200);
    expect((await ask("9223372036854775806")).status).toBe(409);
    expect(engine.submissions).toHaveLength(1);
  });
});
