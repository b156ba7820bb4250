/** A worker that says what it may not, says nothing, or says it too late: its link is broken, and it is replaced. */
import { describe, expect, it, vi } from "vitest";
import type { Engine, SubmissionInput } from "../../src-ts/engine/api.js";
import type { Launcher } from "../../src-ts/worker/launcher.js";
import { frameBytesMax } from "../../src-ts/worker/link.js";
import { answerOf, FaultBench, type Faults, watching } from "./support/faults.js";

vi.setConfig({ testTimeout: 60_000 });

const input: SubmissionInput = {
  input: { kind: "text", text: "Once upon a time" },
  maxTokens: 30,
  sampling: { logprobs: 0 },
};
const streaming = { engine: { fakeTokensPerSecond: 200 } };

const ask = async (engine: Engine, body = input) => answerOf(await engine.submit(body));

/** The fault is the first process's; those after it have none. */
const onlyFirst =
  (faults: Faults) =>
  ({ epoch }: { epoch: number }): Faults =>
    epoch === 1 ? faults : {};

describe("garbage on the link", () => {
  const step = { frame: "step", nth: 9 };
  it.each([
    ["stray", 0, "wrong magic number"],
    ["stray", 20, "wrong checksum"],
    ["oversize", 0, `frame of ${frameBytesMax + 1} bytes`],
    ["checksum", 0, "wrong checksum"],
    ["unknownType", 0, "frame type 99 is unknown"],
    ["order", 0, "step: token 9 of slot \\d+ where 8 was next"],
  ])("%s at byte %i breaks it at once, and nothing of it is forwarded", async (kind, byte, why) => {
    await using bench = new FaultBench();
    bench.faults = onlyFirst({ damage: { kind, byte, ...step } });
    await bench.start();
    const broken: string[] = [];
    bench.engine.observe({
      log: (_level, message, { reason }) => {
        if (message === "worker broke the protocol") broken.push(String(reason));
      },
    });
    const answer = await ask(bench.engine);
    expect(broken).toEqual([expect.stringMatching(why)]);
    expect(bench.lost).toEqual(["linkViolated"]);
    await bench.until(() => bench.info.state === "ready");
    expect(bench.info.epoch).toBe(2);
    expect(answer).toEqual(await ask(bench.engine));
  });

  it("in the place of an answer to prepare is nobody's prompt", async () => {
    await using bench = new FaultBench();
    bench.faults = onlyFirst({ damage: { kind: "stray", frame: "prepared", byte: 30 } });
    await bench.start();
    const answer = await ask(bench.engine);
    expect(bench.lost).toEqual(["linkViolated"]);
    expect(answer).toEqual(await ask(bench.engine));
  });

  it("that is a frame of the incarnation before is dropped and counted", async () => {
    await using bench = new FaultBench();
    bench.faults = () => ({ damage: { kind: "olderEpoch", ...step } });
    await bench.start();
    const answer = await ask(bench.engine);
    expect(bench.rejections).toEqual(["Worker stale frame"]);
    expect(bench.lost).toEqual([]);
    expect(answer).toEqual(await ask(bench.engine));
  });
});

describe("a worker that stops", () => {
  const quickWatchdog = { suspectMs: 150, stallMs: 300 };

  it("is killed by the watchdog and replaced", async () => {
    await using bench = await new FaultBench({ ...streaming, policy: quickWatchdog }).start();
    const response = await bench.engine.submit(input);
    const answer = answerOf(response);
    await bench.until(() => response.tokens.length > 5);
    process.kill(bench.info.pid!, "SIGSTOP");
    const disturbed = await answer;
    expect(bench.lost).toEqual(["stalled"]);
    expect(disturbed).toEqual(await ask(bench.engine));
    expect(bench.info.restarts).toBe(1);
  });

  it("and hangs in a step is too", async () => {
    await using bench = new FaultBench({ ...streaming, policy: quickWatchdog });
    bench.faults = onlyFirst({ hangAtToken: 7 });
    await bench.start();
    const disturbed = await ask(bench.engine);
    expect(bench.lost).toEqual(["stalled"]);
    expect(disturbed).toEqual(await ask(bench.engine));
  });

  it("and goes on before the signal reaches it, is not listened to any more", async () => {
    let lateSteps = 0;
    let violated = false;
    const between = (launcher: Launcher): Launcher => ({
      launch(spec, events, linkEvents) {
        let pid = 0;
        const spawned = (of = 0): void => {
          pid = of;
          events.spawned(of);
        };
        const launched = launcher.launch(spec, { ...events, spawned }, linkEvents);
        const kill: typeof launched.process.kill = (signal) => {
          if (spec.epoch > 1) return launched.process.kill(signal);
          violated = true;
          process.kill(pid, "SIGCONT");
          setTimeout(() => launched.process.kill(signal), 300);
        };
        return { link: launched.link, process: { kill } };
      },
    });
    const count = watching(({ type }, { epoch }) => {
      if (violated && epoch === 1 && type === "step") lateSteps++;
    });
    await using bench = await new FaultBench({
      ...streaming,
      policy: quickWatchdog,
      between: (launcher) => between(count(launcher)),
    }).start();
    const response = await bench.engine.submit({ ...input, maxTokens: 100 });
    const answer = answerOf(response);
    await bench.until(() => response.tokens.length > 5);
    process.kill(bench.info.pid!, "SIGSTOP");
    await bench.until(() => lateSteps > 0);
    const before = response.tokens.length;
    await bench.until(() => lateSteps > 3);
    expect(response.tokens).toHaveLength(before);
    const disturbed = await answer;
    expect(bench.rejections).toContain("Worker late progressed");
    expect(disturbed).toEqual(await ask(bench.engine, { ...input, maxTokens: 100 }));
  });
});
