import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, scan, segmentStart, versionOf } from "../../../src-ts/journal/frames.js";

const salt = 0x1234_5678;
const payloads = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 6 });
const segmentOf = (list: readonly Uint8Array[]): Buffer =>
  Buffer.concat([segmentStart(), ...list.map((payload) => encodeFrame(payload, salt))]);
const shown = (list: readonly Uint8Array[]): string[] =>
  list.map((payload) => Buffer.from(payload).toString("hex"));

describe("frames", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(payloads, (list) => {
        const segment = segmentOf(list);
        const { payloads: read, damages, goodBytes } = scan(segment, salt);
        expect(shown(read)).toEqual(shown(list));
        expect(damages).toEqual([]);
        expect(goodBytes).toBe(segment.length);
      }),
    );
  });

  it("that are cut anywhere leave those before the cut", () => {
    const list = [Buffer.from("one"), Buffer.from("two"), Buffer.from("three")];
    const segment = segmentOf(list);
    for (let length = 0; length <= segment.length; length++) {
      const { payloads: read, goodBytes, damages } = scan(segment.subarray(0, length), salt);
      expect(shown(read)).toEqual(shown(list.slice(0, read.length)));
      expect(goodBytes + damages.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(length);
    }
  });

  it("of which any one bit is flipped are never read as something else, and cost no other", () => {
    const list = [Buffer.from("one"), Buffer.from("two"), Buffer.from("three")];
    const whole = segmentOf(list);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const segment = Buffer.from(whole);
      segment[bit >> 3]! ^= 1 << (bit & 7);
      const read = shown(scan(segment, salt).payloads);
      const left = shown(list).filter((payload) => read.includes(payload));
      expect(read).toEqual(left);
      expect(read.length).toBeGreaterThanOrEqual(list.length - 1);
    }
  });

  it("inside a payload are no frames: another segment's salt is not theirs", () => {
    const forged = encodeFrame(Buffer.from("forged"), 0);
    const segment = segmentOf([Buffer.concat([Buffer.from("prompt "), forged])]);
    segment[segmentStart().length + 13]! ^= 1;
    expect(scan(segment, salt).payloads).toEqual([]);
  });

  it("begin with a line that names the version", () => {
    expect(versionOf(segmentStart())).toBe(1);
    expect(versionOf(Buffer.from("mlx-serving journal 27\n…"))).toBe(27);
    expect(versionOf(Buffer.alloc(100))).toBeUndefined();
  });
});
