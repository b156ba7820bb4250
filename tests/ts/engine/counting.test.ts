/** Prompts of which only the tokens are counted: prepared as any other, and accepted never. */
import { describe, expect, it } from "vitest";
import { preparationDeathsMax } from "../../../src-ts/machines/Request.js";
import { Sim, settle, submission } from "./sim.js";

const refusals = (sim: Sim): string[] => {
  const codes: string[] = [];
  sim.engine.observe({ refused: ({ code }) => codes.push(code) });
  return codes;
};

const isIdle = (sim: Sim) =>
  expect(sim.engine.workers()[0]).toMatchObject({ preparing: 0, queued: 0, running: 0 });

describe("a count", () => {
  it("is what the same prompt has as a request, and leaves nothing behind", async () => {
    const sim = await new Sim().start();
    const codes = refusals(sim);
    const counted = await sim.engine.countTokens(submission());
    const { promptTokens } = await sim.engine.submit(submission());
    expect(counted).toBe(promptTokens.length);
    expect(sim.worker.sent.filter(({ type }) => type === "prepare")).toHaveLength(2);
    expect(codes).toEqual([]);
  });

  it("never reaches a batch", async () => {
    const sim = await new Sim().start();
    let accepted = 0;
    sim.engine.observe({ accepted: () => accepted++ });
    await Promise.all([1, 2, 3].map(() => sim.engine.countTokens(submission())));
    await sim.clock.advance(100);
    expect(sim.worker.sent.map(({ type }) => type)).not.toContain("admit");
    expect(accepted).toBe(0);
    isIdle(sim);
  });

  it("uses up no entry of a script", async () => {
    const fakeScript = [{ when: "hello", say: "scripted" }];
    const sim = await new Sim({ fakeScript }).start();
    const input = { kind: "chat", messages: [{ role: "user", content: "hello" }] } as const;
    await sim.engine.countTokens(
      submission({ input: { ...input, messages: [...input.messages] } }),
    );
    await sim.engine.submit(submission({ input: { ...input, messages: [...input.messages] } }));
    await sim.clock.advance(5);
    const admitted = sim.worker.sent.flatMap((one) => (one.type === "admit" ? one.requests : []));
    expect(admitted.map(({ fakeSay }) => fakeSay)).toEqual(["scripted"]);
  });

  it("is its tokens, and what they say, where that is asked for", async () => {
    const sim = await new Sim().start();
    const asked = submission({ input: { kind: "text", text: "abc" } });
    const told = await sim.engine.tokenize(asked, { text: true, pieces: true });
    expect(told).toMatchObject({ text: "abc", pieces: ["a", "b", "c"] });
    expect(Array.from(told.tokens)).toEqual([97, 98, 99]);
    expect(sim.worker.sent.at(-1)).toMatchObject({ spell: { text: true, pieces: true } });
    isIdle(sim);
  });

  it("goes on at another worker when its own dies, with the right number", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const counted = sim.engine.countTokens(submission());
    await settle();
    sim.worker.die(1);
    await sim.clock.advance(200);
    sim.worker.prepareHeld();
    expect(await counted).toBe(5);
    isIdle(sim);
  });

  it("fails as a request does: a deadly prompt, a model that isn't there, a drain", async () => {
    const sim = await new Sim().start();
    const deadly = sim.engine.countTokens(submission({ input: { kind: "text", text: "venom" } }));
    const outcome = deadly.catch((error: unknown) => error);
    await sim.clock.advance(1_000);
    expect(await outcome).toMatchObject({ code: "worker_crashed", param: "input" });
    expect(sim.spawned).toHaveLength(1 + preparationDeathsMax);
    await expect(sim.engine.countTokens(submission({ model: "none" }))).rejects.toMatchObject({
      code: "model_not_found",
    });
    void sim.engine.drain(1_000);
    await expect(sim.engine.countTokens(submission())).rejects.toMatchObject({
      code: "server_draining",
    });
    await sim.clock.advance(10_000);
  });

  it("is given up with its signal, or at its deadline", async () => {
    const sim = await new Sim({}, { holdPrepares: true }).start();
    const gone = new AbortController();
    const given = sim.engine.countTokens(submission(), gone.signal).catch((error) => error);
    const late = sim.engine.countTokens(submission({ deadlineMs: 50 })).catch((error) => error);
    await settle();
    gone.abort();
    expect(await given).toMatchObject({ code: "cancelled" });
    await sim.clock.advance(60);
    expect(await late).toMatchObject({ code: "deadline_exceeded" });
    sim.worker.prepareHeld();
    await settle();
    isIdle(sim);
  });
});
