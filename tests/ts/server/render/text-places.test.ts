import { describe, expect, it } from "vitest";
import { TextPlaces } from "../../../../src-ts/server/render/text-places.js";

/** Any bytes, the same on every run. */
function* bytesFrom(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 24;
  }
}

const characters = (bytes: readonly number[]) => [
  ...new TextDecoder().decode(Uint8Array.from(bytes)),
];

describe("a token's place", () => {
  it.each([
    ["words", ["Hello", " you", "!"], [0, 5, 9]],
    ["nothing in them", ["", "a", "", "b"], [0, 0, 1, 1]],
    ["characters of two units", ["🦙🚀", "x"], [0, 2]],
  ])("is counted in characters: %s", (_name, texts, places) => {
    const counter = new TextPlaces();
    expect(texts.map((text) => counter.next([...Buffer.from(text)]))).toEqual(places);
  });

  it.each([
    ["bytes of one character", [[0xf0], [0x9f], [0xa6], [0x99], [0x61]], [0, 0, 0, 0, 1]],
    ["the end of one and more", [[0x61, 0xf0, 0x9f], [0xa6, 0x99, 0x62], [0x63]], [0, 1, 3]],
    ["a character that is broken off", [[0xf0, 0x9f], [0x61], [0x62]], [0, 1, 2]],
    ["another one instead", [[0xf0, 0x9f], [0xc3], [0xbc], [0x61]], [0, 1, 1, 2]],
    ["bytes that are none", [[0xff], [0xfe, 0x61], [0x80]], [0, 1, 3]],
    ["what looks like a continuation", [[0xe0], [0x80], [0x61]], [0, 1, 2]],
    ["U+FFFD itself", [[0xef, 0xbf], [0xbd], [0x61]], [0, 0, 1]],
    ["no text in the middle of one", [[0xc3], [], [0xbc], [0x61]], [0, 0, 0, 1]],
  ])("is that of the character it begins in: %s", (_name, tokens, places) => {
    const counter = new TextPlaces();
    expect(tokens.map((bytes) => counter.next(bytes))).toEqual(places);
  });

  it("holds for any text, however it is cut", () => {
    const text = "Grüße, 你好 🦙🚀\n\tnaïve कि \u{10ffff}\ufeff";
    const all = [...Buffer.from(text)];
    for (let seed = 1; seed < 200; seed += 1) {
      const cuts = bytesFrom(seed);
      const counter = new TextPlaces();
      for (let at = 0; at < all.length; ) {
        const size = 1 + (cuts.next().value! % 5);
        const place = counter.next(all.slice(at, at + size));
        // The characters before it, without the one that it goes on with.
        const isInside = (all[at]! & 0xc0) === 0x80;
        const before = Buffer.from(all.slice(0, at)).toString();
        const complete = [...before.replace(/\ufffd+$/, "")].length;
        expect(place).toBe(isInside ? complete : [...before].length);
        at += size;
      }
    }
  });

  it("never passes the text's end, whatever the bytes", () => {
    for (let seed = 1; seed < 500; seed += 1) {
      const bytes = bytesFrom(seed);
      const all = Array.from({ length: 24 }, () => bytes.next().value!);
      const counter = new TextPlaces();
      const places = all.map((byte) => counter.next([byte]));
      const length = characters(all).length;
      expect(
        places.every((place, index) => place < length && place >= (places[index - 1] ?? 0)),
      ).toBe(true);
    }
  });
});
