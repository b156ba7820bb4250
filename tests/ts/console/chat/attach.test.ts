/** Which files become attachments, and why others don't. */
import { expect, it } from "vitest";
import {
  attached,
  attachmentBytesMax,
  attachmentsMax,
  freeName,
} from "../../../../src-ts/console/chat/attach.js";

const bytes = (text: string) => new TextEncoder().encode(text);

it("texts in UTF-8 are taken, up to their limits", () => {
  expect(attached("a", bytes("grün"), [])).toEqual({ attachment: { name: "a", text: "grün" } });
  expect(attached("a", new Uint8Array(attachmentBytesMax + 1), [])).toMatchObject({
    refusal: "tooLarge",
  });
  expect(attached("a", Uint8Array.of(0xff, 0xfe), [])).toMatchObject({ refusal: "notText" });
  expect(attached("a", bytes("a\0b"), [])).toMatchObject({ refusal: "notText" });
  const many = Array.from({ length: attachmentsMax }, (_, i) => ({ name: `${i}`, text: "" }));
  expect(attached("a", bytes("x"), many)).toMatchObject({ refusal: "tooMany" });
  const large = [{ name: "l", text: "x".repeat(4 * 1024 * 1024) }];
  expect(attached("a", bytes("x"), large)).toMatchObject({ refusal: "tooMuch" });
});

it("names are given once", () => {
  const taken = [
    { name: "pasted.txt", text: "" },
    { name: "pasted-2.txt", text: "" },
  ];
  expect(freeName("pasted", "txt", [])).toBe("pasted.txt");
  expect(freeName("pasted", "txt", taken)).toBe("pasted-3.txt");
});
