/** Servers on the fake engine, as the bench harness takes peers. */
import { afterAll } from "vitest";
import { Unavailable } from "../../../scripts/bench/peers/process.mjs";
import { loadToolkit } from "../../../scripts/bench/toolkit.mjs";
import { serve } from "../../../src-ts/index.js";

export const toolkit = await loadToolkit({
  timeoutMs: 30_000,
  load: (name) => import(`../../../src-ts/bench/${name}.ts`),
});

const common = { slow: false, command: "fake" };

/** One server for all of them: how fast they are is nobody's business here. */
const server = await serve({
  ...{ port: 0, engine: "fake", maxContext: 4_096, logLevel: "silent" },
  // Slow enough for each token to be an event.
  fakeTokensPerSecond: 200,
});
afterAll(() => server.close());

/** `fields`: such as `slow`. */
export function fakePeer(id: string, fields: object = {}) {
  return {
    ...{ id, title: id, ...common },
    start: async () => ({
      ...{ url: server.url, pid: process.pid },
      kvBytes: async () => 1_000,
      stop: async () => {},
    }),
    ...fields,
  };
}

export function brokenPeer(id: string) {
  return {
    ...{ id, title: id, ...common },
    async start(): Promise<never> {
      throw new Unavailable("it is not installed");
    },
  };
}

export const quiet = () => {};
