/** Requests that read: prepared, queued, placed and recovered as any other, and never a token. */
import { expect, it } from "vitest";
import type { SubmissionInput } from "../../../src-ts/engine/api.js";
import { Sim, submission } from "./sim.js";

const texts = (...all: string[]): SubmissionInput =>
  submission({ input: { kind: "texts", texts: all }, reading: { kind: "embed" }, maxTokens: 0 });

const vectors = new Uint8Array([1, 2, 3, 4]);

it("are told how long each text is, and have what was read once they have ended", async () => {
  const sim = await new Sim().start();
  const response = await sim.engine.submit(texts("ab", "cde"));
  await sim.clock.advance(5);
  const admission = sim.worker.running.values().next().value?.admission;
  expect(admission).toMatchObject({ maxTokens: 0, reading: { kind: "embed", lengths: [2, 3] } });
  sim.worker.read(vectors);
  await sim.clock.advance(5);
  expect(response.ending).toEqual({ kind: "stop" });
  expect(response.reading).toEqual({ vectors, logprobs: [] });
  expect(response.output).toEqual([]);
  expect(response.promptTokens).toHaveLength(5);
});

it("may be more than the context together, and not one of them", async () => {
  const sim = await new Sim().start();
  const { contextMax } = sim.engine.workers()[0]!.limits!;
  const long = "x".repeat(contextMax);
  await sim.engine.submit(texts(long, long));
  await expect(sim.engine.submit(texts("a", `${long}x`))).rejects.toMatchObject({
    code: "context_length_exceeded",
    param: "input",
  });
});

it("are read again elsewhere when their worker dies, from the start", async () => {
  const sim = await new Sim().start();
  const response = await sim.engine.submit(texts("ab"));
  await sim.clock.advance(5);
  const [id] = sim.worker.running.keys();
  sim.worker.say({ type: "read", id: id!, vectors: new Uint8Array([9]) });
  sim.worker.die(1);
  await sim.clock.advance(2_000);
  expect(response.ending).toBeUndefined();
  expect(response.reading?.vectors).toBeUndefined();
  sim.worker.read(vectors);
  await sim.clock.advance(5);
  expect(response.reading?.vectors).toEqual(vectors);
});

it("are turned away where the queue is full, as any other", async () => {
  const sim = await new Sim({ maxBatch: 1, queueMax: 1 }).start();
  const outcomes = await Promise.allSettled(
    ["a", "b", "c", "d"].map((one) => sim.engine.submit(texts(one))),
  );
  const codes = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason.code] : []));
  expect(codes.length).toBeGreaterThan(0);
  expect(new Set(codes)).toEqual(new Set(["queue_full"]));
});
