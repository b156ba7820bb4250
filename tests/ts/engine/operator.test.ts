/** What an operator sees of an engine, and does to its requests and workers. */
import { expect, it } from "vitest";
import { Sim, submission } from "./sim.js";

const window = 2;

it("sees requests with their states, and batches with their places", async () => {
  const sim = await new Sim().start();
  const response = await sim.engine.submit(submission({ owner: "key:somebody" }));
  await sim.clock.advance(window);
  const { operator } = sim.engine;
  const [seen] = operator.view(10).requests;
  expect(seen).toMatchObject({ id: response.id, state: "prefilling", attempts: 1, emitted: 0 });
  expect(seen!.promptTokens).toBe(response.promptTokens.length);
  sim.worker.prefill();
  sim.worker.step();
  await sim.clock.advance(0);
  expect(operator.view(10).requests[0]).toMatchObject({ state: "decoding", emitted: 1 });
  expect(operator.view(0)).toMatchObject({ requests: [], requestCount: 1 });
  expect(operator.view(10).batches).toMatchObject([{ state: "running", members: 1 }]);
  expect(operator.cancel("resp_none")).toBe(false);
  expect(operator.cancel(response.id)).toBe(true);
  await sim.clock.advance(0);
  const events = operator.timeline(response.id)!.transitions.map(({ event }) => event);
  expect(events.slice(-2)).toEqual(["cancelling", "ended"]);
  expect(operator.view(10)).toMatchObject({
    requests: [],
    ended: [{ id: response.id, emitted: 1 }],
  });
});

it("sees nothing of what is only counted", async () => {
  const sim = await new Sim().start();
  const counting = sim.engine.countTokens(submission());
  expect(sim.engine.operator.view(10)).toMatchObject({ requests: [], requestCount: 0 });
  await sim.clock.advance(window);
  await counting;
  expect(sim.engine.operator.view(10).ended).toEqual([]);
});

it("kills a process, and only where there is one", async () => {
  const sim = await new Sim().start();
  const { operator } = sim.engine;
  expect(operator.killWorker("w9")).toBe(false);
  expect(operator.killWorker("w1")).toBe(true);
});
