import { expect, it } from "vitest";
import { compared, halvesIn, isSame } from "../../scripts/lib/embeddings.mjs";

it("reads numbers of 16 bits", () => {
  const bytes = Buffer.alloc(8);
  for (const [i, bits] of [0x3c00, 0xb800, 0x0001, 0x2e66].entries())
    bytes.writeUInt16LE(bits, i * 2);
  const [[one, minusHalf], [smallest, tenth]] = halvesIn(bytes.toString("base64"), 2) as [
    [number, number],
    [number, number],
  ];
  expect([one, minusHalf, smallest]).toEqual([1, -0.5, 2 ** -24]);
  expect(tenth).toBeCloseTo(0.1, 4);
});

it("tells vectors apart by their direction, by each other, and by their length", () => {
  const reference = [
    [3, 4],
    [0, 2],
  ];
  const same = [
    [0.6, 0.8],
    [0, 1],
  ];
  expect(compared(same, reference).betweenMax).toBeLessThan(1e-9);
  expect(isSame(compared(same, reference))).toBe(true);
  for (const other of [
    [same[1]!, same[0]!],
    [[0.65, 0.76], same[1]!],
    [[0.61, 0.81], same[1]!],
    [same[0]!, [0, 1.01]],
  ])
    expect(isSame(compared(other, reference))).toBe(false);
});
