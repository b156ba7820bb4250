import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packTokens } from "../../../src-ts/encoding/tokens.js";
import { limits } from "../../../src-ts/protocol/index.js";
import {
  encodeFrame,
  encodeRaw,
  FrameDecoder,
  frameBytesMax,
  frameHeaderBytes,
  LinkViolation,
  UnsendableMessage,
  unpackTokens,
} from "../../../src-ts/worker/link.js";
import { type FromWorker, fromWorkerTypes } from "../../../src-ts/worker/messages.js";
import { abilities, nativeFigures, nativeParts } from "../support/native-figures.js";

const epoch = 3;
const step = { step: 1, rows: [[7, 0, 42, "Grüße 🙂"]] };
const aborted = { id: 9 };

function decode(...chunks: Buffer[]): FromWorker[] {
  const messages: FromWorker[] = [];
  const decoder = new FrameDecoder(epoch, (message) => messages.push(message));
  for (const chunk of chunks) decoder.push(chunk);
  return messages;
}

describe("frames", () => {
  const stream = Buffer.concat([
    encodeRaw(fromWorkerTypes.step, epoch, step),
    encodeRaw(fromWorkerTypes.aborted, epoch, aborted),
  ]);
  const expected = [
    { type: "step", ...step },
    { type: "aborted", ...aborted },
  ];

  it("come out the same however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: stream.length - 1 })), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const chunks = edges.slice(1).map((end, i) => stream.subarray(edges[i], end));
        expect(decode(...chunks)).toEqual(expected);
      }),
    );
  });

  it("hold a seed of 64 bits as an integer", () => {
    const seedIn = (seed: bigint) => encodeRaw(1, epoch, { seed }).subarray(frameHeaderBytes + 6);
    expect(seedIn(2n ** 64n - 1n).toString("hex")).toBe("cfffffffffffffffff");
    expect(seedIn(2n ** 53n + 1n).toString("hex")).toBe("d30020000000000001");
    expect(seedIn(7n).toString("hex")).toBe("d30000000000000007");
  });

  it("leave out what is undefined", () => {
    const frame = encodeRaw(fromWorkerTypes.aborted, epoch, { ...aborted, code: undefined });
    expect(frame).toEqual(encodeRaw(fromWorkerTypes.aborted, epoch, aborted));
  });

  it("of another epoch are dropped and counted", () => {
    const messages: FromWorker[] = [];
    const decoder = new FrameDecoder(epoch + 1, (message) => messages.push(message));
    decoder.push(stream);
    expect(messages).toEqual([]);
    expect(decoder.stale).toBe(2);
  });
});

describe("a message of ours", () => {
  const prepare = (text: string) =>
    encodeFrame({ type: "prepare", id: 1, input: { kind: "text", text } }, epoch);

  it("may hold the longest body, as its worst characters", () => {
    const { bodyBytesMax } = limits;
    for (const character of ["x", "ü", "語", "🙂"]) {
      const text = character.repeat(bodyBytesMax / Buffer.byteLength(character));
      expect(prepare(text).length).toBeLessThan(bodyBytesMax + 1024);
    }
  });

  it("may hold the most messages, with the shortest texts", () => {
    const messages = Array.from({ length: limits.messagesMax + 1 }, () => ({
      role: "assistant",
      content: "",
    }));
    const frame = encodeFrame({ type: "prepare", id: 1, input: { kind: "chat", messages } }, epoch);
    expect(frame.length).toBeLessThan(JSON.stringify(messages).length);
  });

  it("is not made where a worker would break the link for it", () => {
    expect(() => prepare("x".repeat(frameBytesMax))).toThrow(UnsendableMessage);
    expect(decode(encodeRaw(fromWorkerTypes.aborted, epoch, aborted))).toHaveLength(1);
  });
});

describe("a violation", () => {
  const whole = encodeRaw(fromWorkerTypes.aborted, epoch, aborted);
  const broken = (at: number, bytes: number[]): Buffer => {
    const copy = Buffer.from(whole);
    copy.set(bytes, at);
    return copy;
  };

  it.each([
    ["a stray print", Buffer.from("hello\n"), /magic/],
    ["wrong magic", broken(0, [1]), /magic/],
    ["wrong version", broken(2, [9]), /version 9/],
    ["an unknown type", broken(3, [200]), /type 200/],
    ["a wrong checksum", broken(12, [whole[12]! ^ 1]), /checksum/],
    ["a flipped payload bit", broken(frameHeaderBytes, [whole[16]! ^ 1]), /checksum/],
    ["an oversize length", broken(8, [1, 0, 0, 255]), new RegExp(`most is ${frameBytesMax}`)],
    ["a missing field", encodeRaw(fromWorkerTypes.aborted, epoch, {}), /aborted\.id/],
    ["a wrong type", encodeRaw(fromWorkerTypes.hello, epoch, { protocol: "1" }), /hello/],
    ["no map", encodeRaw(fromWorkerTypes.step, epoch, null), /step/],
    ["a bad row", encodeRaw(fromWorkerTypes.step, epoch, { step: 1, rows: [[1, 2]] }), /row/],
    [
      "a negative index",
      encodeRaw(fromWorkerTypes.step, epoch, { step: 1, rows: [[1, -1, 1, ""]] }),
      /row/,
    ],
  ])("is %s", (_name, bytes, message) => {
    expect(() => decode(bytes)).toThrow(LinkViolation);
    expect(() => decode(bytes)).toThrow(message);
  });

  it("ends the link for good", () => {
    const decoder = new FrameDecoder(epoch, () => undefined);
    expect(() => decoder.push(Buffer.from("garbage"))).toThrow(LinkViolation);
    expect(() => decoder.push(whole)).toThrow(/broken already/);
  });
});

describe("native figures", () => {
  const telemetry = {
    running: 0,
    waiting: 0,
    steps: 3,
    prefixCacheBytes: 0,
    kvBytes: 0,
    memoryBytes: 0,
    native: nativeFigures,
  };
  const fault = { code: "internal", message: "boom", native: { ...nativeFigures, pool: null } };
  const ready = {
    limits: {
      contextMax: 1,
      kvBytesPerToken: 1,
      kvBytesFixed: 1,
      weightsBytes: 1,
      kvBudgetBytes: 1,
      kvAloneBytes: 1,
      kvRoom: { oneIn: 1, tokensMin: 0, tokensMax: 0 },
    },
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 },
    native: nativeParts,
    abilities,
  };
  const native = nativeFigures;
  const frame = (type: keyof typeof fromWorkerTypes, body: unknown) =>
    encodeRaw(fromWorkerTypes[type], epoch, body);

  it.each([
    ["telemetry", telemetry],
    ["telemetry", { ...telemetry, native: undefined }],
    ["fault", fault],
    ["ready", ready],
  ] as const)("come with %s", (type, body) => {
    const [message] = decode(frame(type, body));
    expect(message).toEqual({ type, ...body });
  });

  it.each([
    ["telemetry", telemetry, { ...native, metrics: null }, /telemetry\.native\.metrics/],
    ["telemetry", telemetry, { ...native, module: { on: true } }, /native\.module\.version/],
    [
      "telemetry",
      telemetry,
      { ...native, metrics: { ...native.metrics, p95LatencyMs: Number.NaN } },
      /native\.metrics\.p95LatencyMs/,
    ],
    [
      "telemetry",
      telemetry,
      { ...native, metrics: { ...native.metrics, completedRequests: 1.5 } },
      /native\.metrics\.completedRequests/,
    ],
    ["fault", fault, { ...native, pool: { ...native.pool, available: -1 } }, /pool\.available/],
    ["ready", ready, undefined, /ready\.native/],
    ["ready", ready, { magic: nativeParts.pool }, /ready\.native/],
    ["ready", ready, { pool: { on: true, reason: null } }, /native\.pool\.applicable/],
  ] as const)("that %s has wrong are a violation", (type, body, wrong, message) => {
    expect(() => decode(frame(type, { ...body, native: wrong }))).toThrow(message);
  });
});

describe("token ids", () => {
  it("are whole", () => {
    expect([...unpackTokens(packTokens([1, 2]))]).toEqual([1, 2]);
    expect(() => unpackTokens(new Uint8Array(5))).toThrow(LinkViolation);
  });
});
