/** Texts of which vectors are wanted, as submissions: several texts each, so that they share passes. */
import { packTokens } from "../../encoding/tokens.js";
import type { SubmissionInput } from "../../engine/api.js";
import type { EmbeddingInput } from "../../protocol/embeddings.js";
import { type Caller, callerFields } from "./caller.js";

/** Of one submission: a worker that dies reads so many again, and so many wait for one place. */
const textsMax = 64;
/** And bytes, about, so that none fills a frame of the link. */
const bytesMax = 1024 * 1024;

/** One text, or its tokens. */
export type One = string | readonly number[];

/** `first`: the index of its first text in the body. */
interface Group {
  first: number;
  submission: SubmissionInput;
}

export function textsOf(input: EmbeddingInput): One[] {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : (input as One[]);
}

export function embeddingGroups(
  texts: readonly One[],
  model: string | null | undefined,
  caller: Caller,
): Group[] {
  const groups: { first: number; texts: One[]; bytes: number }[] = [];
  texts.forEach((text, index) => {
    const bytes = text.length * (typeof text === "string" ? 2 : 4);
    let last = groups.at(-1);
    if (last === undefined || last.texts.length === textsMax || last.bytes + bytes > bytesMax) {
      last = { first: index, texts: [], bytes: 0 };
      groups.push(last);
    }
    last.texts.push(text);
    last.bytes += bytes;
  });
  return groups.map(({ first, texts: some }) => ({
    first,
    submission: {
      model: model ?? undefined,
      input: {
        kind: "texts",
        texts: some.map((one) => (typeof one === "string" ? one : packTokens(one))),
      },
      reading: { kind: "embed" },
      maxTokens: 0,
      ...callerFields(caller),
      store: false,
      abandonment: { kind: "cancel" },
      idPrefix: "embd",
    },
  }));
}
