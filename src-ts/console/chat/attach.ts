/** Which files and pastes become attachments, and which are refused and why. Pure. */
import type { Attachment } from "./conversation.js";

/** One file. */
export const attachmentBytesMax = 1024 * 1024;
/** All of one message. */
export const messageCharsMax = 4 * 1024 * 1024;
export const attachmentsMax = 20;
/** A longer paste becomes a file, so that one can still see what one writes. */
export const pasteCharsMax = 8_000;

export type Refusal = "tooLarge" | "notText" | "tooMany" | "tooMuch";
export type Attached = { attachment: Attachment } | { refusal: Refusal; name: string };

export function attached(
  name: string,
  bytes: Uint8Array,
  present: readonly Attachment[],
): Attached {
  if (present.length >= attachmentsMax) return { refusal: "tooMany", name };
  if (bytes.length > attachmentBytesMax) return { refusal: "tooLarge", name };
  const text = textOf(bytes);
  if (text === undefined) return { refusal: "notText", name };
  const sum = present.reduce((all, one) => all + one.text.length, text.length);
  return sum > messageCharsMax ? { refusal: "tooMuch", name } : { attachment: { name, text } };
}

/** Undefined for what is no text: bytes of no encoding, or with a NUL among them. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/** A name that none of these has yet. */
export function freeName(base: string, ending: string, present: readonly Attachment[]): string {
  const taken = new Set(present.map(({ name }) => name));
  for (let i = 1; ; i++) {
    const name = i === 1 ? `${base}.${ending}` : `${base}-${i}.${ending}`;
    if (!taken.has(name)) return name;
  }
}
