import { expect, it } from "vitest";
import type { Response, SubmissionInput } from "../../../../src-ts/engine/api.js";
import { failure } from "../../../../src-ts/failures.js";
import { submitAll } from "../../../../src-ts/server/openai/submit-all.js";

type Engine = Parameters<typeof submitAll>[0];
const input = { kind: "text", text: "" } as const;
const three: SubmissionInput[] = [{ input }, { input }, { input }];
const never = new AbortController().signal;

/** Answers the submissions one after another, each as `outcomes` has it; tells who was cancelled. */
function engineOf(outcomes: ((signal: AbortSignal) => Promise<unknown>)[]) {
  const cancelled: number[] = [];
  let next = 0;
  const submit = (_submission: SubmissionInput, signal?: AbortSignal) => {
    const index = next++;
    return outcomes[index]!(signal!).then(() => ({
      id: index,
      cancel: () => cancelled.push(index),
    }));
  };
  const engine = { together: () => ({ submit }) } as unknown as Engine;
  return { engine, cancelled };
}

const accept = async () => {};
const untilGivenUp = (signal: AbortSignal) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(failure("cancelled")));
  });

it("resolves with all of them, in their order", async () => {
  const { engine, cancelled } = engineOf([accept, accept, accept]);
  const responses = (await submitAll(engine, three, 1, never)) as unknown as { id: number }[];
  expect(responses.map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(cancelled).toEqual([]);
});

it("takes none when one is refused, and says why and not that the others were given up", async () => {
  const refuse = () => Promise.reject(failure("queue_full", { queueMax: 1 }));
  const { engine, cancelled } = engineOf([untilGivenUp, accept, refuse]);
  await expect(submitAll(engine, three, 1, never)).rejects.toMatchObject({ code: "queue_full" });
  expect(cancelled).toEqual([1]);
});

it("gives all up with its signal", async () => {
  const { engine } = engineOf([untilGivenUp, untilGivenUp, untilGivenUp]);
  const gone = new AbortController();
  const all: Promise<Response[]> = submitAll(engine, three, 1, gone.signal);
  gone.abort();
  await expect(all).rejects.toMatchObject({ code: "cancelled" });
});
