/**
 * Whatever comes over the link, its decoder takes it or says LinkViolation, and holds no more than a frame.
 * Whatever is to go over it is a whole frame, or an UnsendableMessage that leaves no trace.
 */
import crc32 from "crc-32";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodeFrame,
  encodeRaw,
  FrameDecoder,
  frameBytesMax,
  frameHeaderBytes,
  frameMagic,
  frameVersion,
  LinkViolation,
  UnsendableMessage,
} from "../../../src-ts/worker/link.js";
import { type FromWorker, fromWorkerTypes } from "../../../src-ts/worker/messages.js";

const epoch = 3;
const runs = { numRuns: 500 };
const logprobs = { token: " a", bytes: [32, 97], logprob: -0.5, top: [] };
const frames = [
  encodeRaw(fromWorkerTypes.prepared, epoch, {
    id: 1,
    tokens: Buffer.from([1, 0, 0, 0]),
    blockHashes: ["ab"],
  }),
  encodeRaw(fromWorkerTypes.blocks, epoch, { kept: ["ab", "cd"], evicted: ["ef"] }),
  encodeRaw(fromWorkerTypes.prefill, epoch, { id: 2, done: 3, total: 4, cached: 0 }),
  encodeRaw(fromWorkerTypes.step, epoch, { step: 1, rows: [[7, 0, 42, "Grüße 🙂", logprobs]] }),
  encodeRaw(fromWorkerTypes.ended, epoch, {
    id: 2,
    finish: "stop",
    tail: "!",
  }),
];
const stream = Buffer.concat(frames);

interface Outcome {
  messages: FromWorker[];
  violation: LinkViolation | undefined;
  heldBytes: number;
}

/** Pushes in pieces; anything thrown that is no LinkViolation is thrown on. */
function decode(data: Buffer, cuts: readonly number[] = []): Outcome {
  const messages: FromWorker[] = [];
  const decoder = new FrameDecoder(epoch, (message) => messages.push(message));
  const edges = [0, ...cuts.map((cut) => cut % (data.length + 1)).sort((a, b) => a - b)];
  let violation: LinkViolation | undefined;
  try {
    for (const [i, start] of edges.entries()) decoder.push(data.subarray(start, edges[i + 1]));
  } catch (error) {
    if (!(error instanceof LinkViolation)) throw error;
    violation = error;
  }
  return { messages, violation, heldBytes: decoder.heldBytes };
}

const cuts = fc.array(fc.nat(), { maxLength: 8 });
const chunk = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

/** A frame with a right checksum around any payload. */
function framed(type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt16LE(frameMagic, 0);
  header.writeUInt8(frameVersion, 2);
  header.writeUInt8(type, 3);
  header.writeUInt32LE(epoch, 4);
  header.writeUInt32LE(payload.length, 8);
  header.writeUInt32LE(crc32.buf(payload) >>> 0, 12);
  return Buffer.concat([header, payload]);
}

type Mutation = (data: Buffer) => Buffer;

/** A changed byte, stray bytes, bytes that are missing, bytes that come twice. */
const mutation: fc.Arbitrary<Mutation> = fc
  .tuple(fc.nat(), fc.integer({ min: 1, max: 255 }), chunk, fc.constantFrom(0, 1, 2, 3))
  .map(([where, mask, stray, kind]) => (data) => {
    const at = where % Math.max(1, data.length);
    const [before, after] = [data.subarray(0, at), data.subarray(at)];
    const flipped = Buffer.from(data);
    if (flipped.length > 0) flipped[at]! ^= mask;
    const lost = after.subarray(1 + stray.length);
    const twice = Buffer.concat([before, after.subarray(0, stray.length), after]);
    return [flipped, Buffer.concat([before, stray, after]), Buffer.concat([before, lost]), twice][
      kind
    ]!;
  });
const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
const mutate = (data: Buffer, all: readonly Mutation[]) =>
  all.reduce((changed, one) => one(changed), data);

describe("the decoder of frames", () => {
  it("takes any bytes in any pieces", () => {
    fc.assert(
      fc.property(chunk, cuts, (data, at) => {
        const { violation, heldBytes } = decode(data, at);
        expect(heldBytes).toBeLessThan(frameHeaderBytes + frameBytesMax);
        // Two bytes are enough to see that they begin no frame.
        if (data.length >= 2 && data.readUInt16LE(0) !== frameMagic) {
          expect(violation).toBeInstanceOf(LinkViolation);
          expect(heldBytes).toBe(0);
        }
      }),
      runs,
    );
  });

  it("passes on what stands before the damage, and nothing that was not sent", () => {
    const { messages: sent } = decode(stream);
    fc.assert(
      fc.property(mutations, cuts, (all, at) => {
        const data = mutate(stream, all);
        const { messages } = decode(data, at);
        let intact = 0;
        while (data[intact] === stream[intact] && intact < stream.length) intact++;
        const ends = frames.map((_, i) => Buffer.concat(frames.slice(0, i + 1)).length);
        const whole = ends.filter((end) => end <= intact).length;
        expect(messages.slice(0, whole)).toEqual(sent.slice(0, whole));
        // A repeated or lost frame is one for the engine; a changed payload never comes through. The
        // checksum does not cover the type byte, so that a body may come under another name.
        for (const { type: _type, ...body } of messages)
          expect(sent).toContainEqual(expect.objectContaining(body));
      }),
      runs,
    );
  });

  it("comes to the same result however the bytes are cut", () => {
    fc.assert(
      fc.property(mutations, cuts, (all, at) => {
        const data = mutate(stream, all);
        const [one, other] = [decode(data), decode(data, at)];
        expect(other.messages).toEqual(one.messages);
        expect(other.violation?.message).toBe(one.violation?.message);
        expect(other.heldBytes).toBe(one.heldBytes);
      }),
      runs,
    );
  });

  it("refuses any payload that is not its type's, checksum or not", () => {
    const types = fc.constantFrom(...Object.values(fromWorkerTypes));
    const payload = fc.oneof(
      chunk,
      fc.tuple(fc.constantFrom(...frames), mutations).map(([frame, all]) => {
        return mutate(frame.subarray(frameHeaderBytes), all);
      }),
      fc
        .anything({ withBigInt: false, withSet: true, withMap: true, withDate: true })
        .map((body) => {
          return encodeRaw(1, epoch, body).subarray(frameHeaderBytes);
        }),
    );
    fc.assert(
      fc.property(types, payload, (type, body) => {
        const { messages, violation } = decode(framed(type, body));
        expect(messages.length === 1).toBe(violation === undefined);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["nested without end", Buffer.alloc(1_000_000, 0x91)],
    ["maps nested without end", Buffer.alloc(1_000_000, 0x81)],
    ["an array that claims 4 billion", Buffer.from([0xdd, 255, 255, 255, 255, 1])],
    ["a map that claims 4 billion", Buffer.from([0xdf, 255, 255, 255, 255, 1, 1])],
    ["bytes that claim 4 billion", Buffer.from([0xc6, 255, 255, 255, 255, 1])],
    ["a string that claims 4 billion", Buffer.from([0xdb, 255, 255, 255, 255, 1])],
    ["nested arrays that claim 50,000 each", Buffer.alloc(60_000, Buffer.from([0xdc, 195, 80]))],
    ["nothing", Buffer.alloc(0)],
  ])("refuses a payload of %s", (_name, payload) => {
    for (const type of Object.values(fromWorkerTypes))
      expect(decode(framed(type, payload)).violation).toBeInstanceOf(LinkViolation);
  });

  it.each([[{ ...logprobs, logprob: "x" }], [{ ...logprobs, top: [{}] }], [[]], [{}]])(
    "refuses the log probability %j",
    (wrong) => {
      const frame = encodeRaw(fromWorkerTypes.step, epoch, {
        step: 1,
        rows: [[7, 0, 42, "", wrong]],
      });
      expect(decode(frame).violation?.message).toMatch(/row/);
    },
  );

  it("holds a frame until it is whole, and then nothing", () => {
    const frame = framed(fromWorkerTypes.loading, Buffer.alloc(frameBytesMax, 0xc0));
    const decoder = new FrameDecoder(epoch, () => undefined);
    const pieceBytes = 1 << 20;
    for (let at = 0; at + pieceBytes < frame.length; at += pieceBytes) {
      decoder.push(frame.subarray(at, at + pieceBytes));
      expect(decoder.heldBytes).toBe(at + pieceBytes);
    }
    expect(() => decoder.push(frame.subarray(-frameHeaderBytes))).toThrow(LinkViolation);
    expect(decoder.heldBytes).toBe(0);
  });
});

describe("the encoder of frames", () => {
  const prepare = (content: unknown) =>
    encodeFrame(
      { type: "prepare", id: 7, input: { kind: "chat", messages: [{ role: "user", content }] } },
      epoch,
    );
  const plain = prepare("x");

  it("writes a whole frame, or says that it can't and goes on as before", () => {
    const values = fc.anything({
      withBigInt: true,
      withSet: true,
      withMap: true,
      withDate: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
    });
    fc.assert(
      fc.property(fc.oneof(values, fc.string({ unit: "binary" })), (content) => {
        try {
          const frame = prepare(content);
          const payload = frame.subarray(frameHeaderBytes);
          expect(frame.readUInt16LE(0)).toBe(frameMagic);
          expect(frame.readUInt32LE(8)).toBe(payload.length);
          expect(frame.readUInt32LE(12)).toBe(crc32.buf(payload) >>> 0);
        } catch (error) {
          expect(error).toBeInstanceOf(UnsendableMessage);
        }
        expect(prepare("x")).toEqual(plain);
      }),
      { numRuns: 2000 },
    );
  });

  const nested = (levels: number): unknown => {
    let value: unknown = 0;
    for (let level = 0; level < levels; level++) value = [value];
    return value;
  };
  const throwing = {
    get content(): never {
      throw new TypeError("of the caller's making");
    },
  };

  it.each([
    ["too much", "x".repeat(frameBytesMax), "request_too_large"],
    [
      "a little too much",
      "x".repeat(frameBytesMax - plain.length + frameHeaderBytes - 2),
      "request_too_large",
    ],
    ["nested without end", nested(100_000), "invalid_request"],
    ["an integer of 80 bits", 1n << 80n, "invalid_request"],
    ["a getter that throws", throwing, "invalid_request"],
  ])("refuses %s by name", (_name, content, code) => {
    expect(() => prepare(content)).toThrow(expect.objectContaining({ code }));
    expect(() => prepare(content)).toThrow(UnsendableMessage);
    expect(prepare("x")).toEqual(plain);
  });

  it("writes a payload of exactly the limit", () => {
    const room = frameBytesMax - plain.length + frameHeaderBytes + 1 - 4; // a longer string says its length in four more bytes
    expect(prepare("x".repeat(room)).length).toBe(frameHeaderBytes + frameBytesMax);
    expect(() => prepare("x".repeat(room + 1))).toThrow(UnsendableMessage);
  });
});
