/** How a worker is told of the requests that it runs from now on. Knows frames' limits and no lifecycle. */
import { UnsendableMessage } from "../worker/link.js";
import type { ToWorker } from "../worker/messages.js";
import { admit, type Slot } from "./request.js";

interface Admitting {
  send(message: ToWorker): void;
}

/** In one frame, so that they prefill together; one by one where they fit none. `refuse`: it fits none alone. */
export function sendAdmission(
  worker: Admitting,
  slots: readonly Slot[],
  refuse: (slot: Slot, error: UnsendableMessage) => void,
): void {
  const [first] = slots;
  if (first === undefined) return;
  try {
    worker.send({ type: "admit", requests: slots.map(admit) });
  } catch (error) {
    if (!(error instanceof UnsendableMessage)) throw error;
    if (slots.length === 1) refuse(first, error);
    else for (const slot of slots) sendAdmission(worker, [slot], refuse);
  }
}
