import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { inFrames } from "../../../src-ts/engine/requests/admission.js";
import { encodeFrame, frameBytesMax, UnsendableMessage } from "../../../src-ts/worker/link.js";
import type {
  Admission,
  PrepareInput,
  Sampling,
  Tool,
  ToolOffer,
} from "../../../src-ts/worker/messages.js";
import { Sim, SimWorker, settle, submission } from "./sim.js";

const MiB = 1024 * 1024;

function admission(id: number, promptBytes: number, emittedBytes = 0): Admission {
  const prompt = new Uint8Array(promptBytes);
  const emitted = new Uint8Array(emittedBytes);
  const sampling = submission().sampling as Sampling;
  return { id, prompt, emitted, maxTokens: 1, sampling, chat: true };
}

function offerOf(fields: Partial<Tool>): ToolOffer {
  const tool = { name: "look", description: "", parameters: {}, custom: false, ...fields };
  return { tools: [tool], choice: "auto", parallel: true };
}

describe("admissions of one batch", () => {
  it("go into as few frames as hold them, in order", () => {
    const all = Array.from({ length: 64 }, (_, id) => admission(id, MiB, MiB / 2));
    const frames = inFrames(all);
    expect(frames.flat()).toEqual(all);
    expect(frames.length).toBe(13);
    for (const requests of frames)
      expect(encodeFrame({ type: "admit", requests }, 1).length).toBeLessThan(frameBytesMax);
  });

  it("are one frame where they are short, and none where there are none", () => {
    expect(inFrames(Array.from({ length: 256 }, (_, id) => admission(id, 400)))).toHaveLength(1);
    expect(inFrames([])).toEqual([]);
  });

  it.each<[string, (text: string) => Partial<Admission>]>([
    ["tools", (description) => ({ tools: offerOf({ description }) })],
    ["schemas", (pattern) => ({ tools: offerOf({ parameters: { type: "string", pattern } }) })],
    ["kept schemas", (kept) => ({ tools: offerOf({ kept }) })],
    ["constraints", (text) => ({ constraint: { kind: "lark", text } })],
    ["scripts", (fakeSay) => ({ fakeSay })],
  ])("count the text of their %s", (_name, withText) => {
    const long = withText("x".repeat(MiB));
    const all = Array.from({ length: 20 }, (_, id) => ({ ...admission(id, 4), ...long }));
    expect(inFrames(all)).toHaveLength(3);
  });

  it("stand alone where one is longer than the rest together", () => {
    const long = admission(1, 16 * MiB);
    const frames = inFrames([admission(0, 4), long, admission(2, 4)]);
    expect(frames.map((frame) => frame.map(({ id }) => id))).toEqual([[0], [1], [2]]);
  });
});

describe("an input", () => {
  const refused: [string, PrepareInput][] = [
    ["text", { kind: "text", text: "x" }],
    ["tokens", { kind: "tokens", tokens: new Uint8Array(4) }],
    ["chat", { kind: "chat", messages: [{ role: "user", content: "x" }] }],
  ];

  it.each(refused)(
    "of %s that no frame holds is refused by name, and costs no worker",
    async (_kind, input) => {
      const sim = await new Sim().start();
      const { worker } = sim;
      const send = worker.send.bind(worker);
      worker.send = (message) => {
        if (message.type === "prepare")
          throw new UnsendableMessage("request_too_large", "it is too long");
        send(message);
      };
      const refused = sim.engine.submit(submission({ input }));
      await expect(refused).rejects.toMatchObject({
        status: 413,
        code: "request_too_large",
        param: "input",
      });
      worker.send = send;
      const response = await sim.engine.submit(submission());
      expect(response.id).toBeDefined();
      expect(worker).toBeInstanceOf(SimWorker);
      expect(sim.engine.workers()[0]).toMatchObject({ restarts: 0, state: "ready" });
    },
  );

  it("is let go once it is tokens", async () => {
    const sim = await new Sim().start();
    let text: { kind: "text"; text: string } | undefined = { kind: "text", text: "a prompt" };
    const input = new WeakRef(text);
    await sim.engine.submit(submission({ input: text }));
    await settle();
    sim.worker.sent.length = 0;
    text = undefined;
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    collect();
    await settle();
    collect();
    expect(input.deref()).toBeUndefined();
  });
});

describe("what a finished response holds", () => {
  it("counts the texts of its echo", async () => {
    const sim = await new Sim().start();
    const bytesWith = async (instructions: string | null) => {
      const echo = { kind: "response", instructions, metadata: { a: "b" } };
      const response = await sim.engine.submit(submission({ echo }));
      return (response as unknown as { bytes: number }).bytes;
    };
    const least = await bytesWith(null);
    expect((await bytesWith("x".repeat(MiB))) - least).toBe(2 * MiB);
  });
});
