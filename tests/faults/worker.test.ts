/**
 * A worker that dies anywhere: at every boundary and at every byte of the frames of a short response, in
 * prefill, while it cancels. Nobody sees it but by the clock.
 */
import { describe, expect, it, vi } from "vitest";
import type { Engine, SubmissionInput } from "../../src-ts/engine/api.js";
import { encodeRaw, frameHeaderBytes } from "../../src-ts/worker/link.js";
import { type FromWorker, fromWorkerTypes } from "../../src-ts/worker/messages.js";
import {
  type Answer,
  answerOf,
  FaultBench,
  type Faults,
  type Place,
  watching,
  wholeFrame,
} from "./support/faults.js";

vi.setConfig({ testTimeout: 180_000 });

/** The fake engine's texts have a character of four tokens at 20. */
const character = 20;
const maxTokens = character + 6;

const short: SubmissionInput = {
  input: { kind: "text", text: "Once upon a time" },
  maxTokens,
  sampling: { logprobs: 1 },
};

/** Without log probabilities a step is a quarter as long. */
const plain: SubmissionInput = { ...short, sampling: { logprobs: -1 } };

const ask = async (engine: Engine, input: SubmissionInput): Promise<Answer> =>
  answerOf(await engine.submit(input));

/** `frames`: takes what the worker has sent. */
async function undisturbed(input: SubmissionInput, frames: FromWorker[] = []): Promise<Answer> {
  const between = watching((message) => void frames.push(message));
  await using bench = await new FaultBench({ between }).start();
  const answer = await ask(bench.engine, input);
  await bench.until(() => frames.at(-1)?.type === "telemetry");
  return answer;
}

/** Both languages pack alike, but for a measured time that happens to be whole. */
function lengthOf({ type, ...body }: FromWorker): number {
  return encodeRaw(fromWorkerTypes[type], 1, body).length;
}

/**
 * Asks as often as there are faults; each time another fault kills the worker. The process that comes
 * after a death first brings the answer to its end, then has the next fault.
 */
async function dieAtEach(faults: readonly Faults[], input: SubmissionInput): Promise<Answer[]> {
  await using bench = new FaultBench();
  let pending = 0;
  let given = 0;
  bench.faults = () => ({ ...faults[given++], afterEnded: pending });
  bench.engine.observe({
    ended: () => {
      pending = 0;
    },
  });
  await bench.start();
  const answers: Answer[] = [];
  for (let deaths = 1; deaths <= faults.length; deaths++) {
    pending = 1;
    answers.push(await ask(bench.engine, input));
    // A frame may come again right after the answer: the next death is then seen with this one.
    await bench.until(() => bench.info.restarts >= deaths);
  }
  return answers;
}

const dying = (place: Place): Faults => ({ dieInFrame: place });
const range = (length: number, step = 1) =>
  Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);

const boundaries: Faults[] = [
  ...["prepared", "prefill", "telemetry", "step", "ended"].map((frame) => dying({ frame })),
  ...["prepared", "prefill", "telemetry", "ended"].map((frame) =>
    dying({ frame, byte: wholeFrame }),
  ),
  ...range(maxTokens).map((i) => dying({ frame: "step", nth: i + 1, byte: wholeFrame })),
];

describe("a worker killed", () => {
  it("at every frame's boundary changes nothing", async () => {
    const whole = await undisturbed(short);
    expect(whole.text).toMatch(/\p{Extended_Pictographic}/u);
    expect(whole.tokens).toHaveLength(maxTokens);
    for (const answer of await dieAtEach(boundaries, short)) expect(answer).toEqual(whole);
  });

  // After any byte of the header and of the step, which is the one in the middle of the character; of the
  // other bodies some.
  it.each([
    { frame: "prepared", nth: 1, stride: 7, varies: 0 },
    { frame: "prefill", nth: 1, stride: 7, varies: 0 },
    { frame: "step", nth: character + 2, stride: 1, varies: 0 },
    { frame: "ended", nth: 1, stride: 7, varies: 0 },
    // Its numbers are as long as they have digits: the end is not there in every one.
    { frame: "telemetry", nth: 1, stride: 11, varies: 32 },
  ])("inside a frame $frame changes nothing", async ({ frame, nth, stride, varies }) => {
    const frames: FromWorker[] = [];
    const whole = await undisturbed(plain, frames);
    const length = lengthOf(frames.filter(({ type }) => type === frame)[nth - 1]!);
    const body = range(length - varies - frameHeaderBytes, stride).map((i) => frameHeaderBytes + i);
    const bytes = [...range(frameHeaderBytes), ...body, length - varies - 1];
    expect(body.length).toBeGreaterThan(0);
    const faults = bytes.map((byte) => dying({ frame, nth, byte }));
    for (const answer of await dieAtEach(faults, plain)) expect(answer).toEqual(whole);
  });

  it("at bytes counted from its readiness changes nothing", async () => {
    const whole = await undisturbed(short);
    const faults = range(2600, 97).map((dieAtByte) => ({ dieAtByte }));
    for (const answer of await dieAtEach(faults, short)) expect(answer).toEqual(whole);
  });
});

describe("a stop string", () => {
  it("that straddles the death is found all the same", async () => {
    const { text } = await undisturbed(short);
    // From the middle of the third word to the middle of the sixth.
    const words = text.split(" ").filter(Boolean);
    const stop = `${words[2]!.slice(1)} ${words[3]} ${words[4]} ${words[5]!.slice(0, 1)}`;
    const stopped = { ...short, sampling: { ...short.sampling, stop: [stop] } };
    const whole = await undisturbed(stopped);
    expect(whole.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(whole.end).toMatchObject({ ending: { kind: "stop" } });
    const steps = whole.tokens.length;
    const faults = [
      ...range(steps).map((i) => dying({ frame: "step", nth: i + 1, byte: wholeFrame })),
      ...range(steps).map((i) => dying({ frame: "step", nth: i + 1, byte: 20 })),
      dying({ frame: "ended", byte: 30 }),
    ];
    for (const answer of await dieAtEach(faults, stopped)) expect(answer).toEqual(whole);
  });
});

describe("a worker killed in a long prefill", () => {
  const long: SubmissionInput = {
    input: { kind: "text", text: "Once upon a time. ".repeat(100) },
    maxTokens: 6,
  };

  it("at any chunk changes nothing", async () => {
    const whole = await undisturbed(long);
    const places = [1, 2, 3, 4].flatMap((nth) =>
      [0, 18, wholeFrame].map((byte) => ({ frame: "prefill", nth, byte })),
    );
    const faults = places.map((place) => ({ ...dying(place), prefillMsPerToken: 0.01 }));
    for (const answer of await dieAtEach(faults, long)) expect(answer).toEqual(whole);
  });
});

describe("a worker killed while it cancels", () => {
  const endless: SubmissionInput = { ...short, maxTokens: 100_000 };

  it.each([0, 1, 17, wholeFrame])(
    "ends the response as cancelled at byte %i of its answer",
    async (byte) => {
      const options = { engine: { fakeTokensPerSecond: 300 } };
      await using bench = await new FaultBench(options).start();
      bench.faults = () => dying({ frame: "aborted", byte });
      bench.engine.restartWorker("w1");
      await bench.until(() => bench.info.epoch === 2 && bench.info.state === "ready");
      bench.faults = () => ({});
      const response = await bench.engine.submit(endless);
      const answer = answerOf(response);
      await bench.until(() => response.tokens.length > 3);
      response.cancel();
      const { tokens, text, end } = await answer;
      expect(end).toMatchObject({
        ending: { kind: "cancelled" },
        usage: { completionTokens: tokens.length },
      });
      await bench.until(() => bench.info.epoch === 3 && bench.info.state === "ready");
      const again = await ask(bench.engine, { ...endless, maxTokens: tokens.length });
      expect(again.tokens).toEqual(tokens);
      expect(again.text.startsWith(text)).toBe(true);
    },
  );
});
