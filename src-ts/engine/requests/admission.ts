/** How a worker is told of the requests that it runs from now on. Knows frames' limits and no lifecycle. */
import { UnsendableMessage } from "../../worker/link.js";
import type { Admission, ToolOffer, ToWorker } from "../../worker/messages.js";
import { textChars } from "../conversation.js";

type Refuse = (slot: number, error: UnsendableMessage) => void;

/** In as few frames as they fit, so that they prefill together. `refuse`: no frame holds it alone. */
export function sendAdmission(
  send: (message: ToWorker) => void,
  admissions: readonly Admission[],
  refuse: Refuse,
): void {
  const sendTogether = (requests: Admission[]): void => {
    try {
      send({ type: "admit", requests });
    } catch (error) {
      if (!(error instanceof UnsendableMessage)) throw error;
      if (requests.length > 1) for (const request of requests) sendTogether([request]);
      else refuse(requests[0]!.id, error);
    }
  };
  for (const some of inFrames(admissions)) sendTogether(some);
}

function bytesOf({
  prompt,
  emitted,
  constraint,
  tools,
  fakeSay = "",
  salt = "",
}: Admission): number {
  const texts = (constraint?.text.length ?? 0) + fakeSay.length + salt.length + charsOf(tools);
  return prompt.length + emitted.length + texts;
}

/** Choices of one request offer the same. */
const offered = new WeakMap<ToolOffer, number>();

function charsOf(tools: ToolOffer | undefined): number {
  if (tools === undefined) return 0;
  const known = offered.get(tools) ?? textChars(tools);
  offered.set(tools, known);
  return known;
}

/** Token ids, tools and grammars of one `admit`, in bytes, roughly: a frame holds no more than it must. */
const admittedBytesMax = 8 * 1024 * 1024;

/** As many together as a frame should hold, and at least one. */
export function inFrames(admissions: readonly Admission[]): Admission[][] {
  const frames: Admission[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const admission of admissions) {
    const size = bytesOf(admission);
    bytes += size;
    if (bytes > admittedBytesMax) {
      frames.push([]);
      bytes = size;
    }
    frames.at(-1)!.push(admission);
  }
  return frames;
}
