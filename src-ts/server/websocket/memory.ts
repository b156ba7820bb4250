/**
 * The last unstored responses of one socket, for requests that go on from them. Owns how many they are and what
 * they may take; gone with the socket.
 */
import type { Response } from "../../engine/api.js";
import { isServingError } from "../../errors.js";
import { asPredecessor } from "../predecessors.js";
import type { Predecessor } from "../submissions/conversation.js";

export interface MemoryLimits {
  rememberedResponsesMax: number;
  rememberedBytesMax: number;
}

interface Remembered {
  predecessor: Predecessor;
  bytes: number;
}

export class Memory {
  private readonly byId = new Map<string, Remembered>();
  private bytes = 0;

  constructor(private readonly limits: MemoryLimits) {}

  /** One that has ended. Of one that failed there is nothing to remember. */
  add(response: Response): void {
    const predecessor = predecessorIn(response);
    if (predecessor === undefined) return;
    this.forget(response.id);
    // All of the conversation: whoever else has a part of it may go first.
    const bytes = predecessor.conversation.chars * 2 + predecessor.tokens.length;
    if (bytes > this.limits.rememberedBytesMax) return;
    this.byId.set(response.id, { predecessor, bytes });
    this.bytes += bytes;
    this.trim();
  }

  find(id: string): Predecessor | undefined {
    return this.byId.get(id)?.predecessor;
  }

  private trim(): void {
    const { rememberedResponsesMax, rememberedBytesMax } = this.limits;
    for (const id of this.byId.keys()) {
      if (this.byId.size <= rememberedResponsesMax && this.bytes <= rememberedBytesMax) return;
      this.forget(id);
    }
  }

  private forget(id: string): void {
    this.bytes -= this.byId.get(id)?.bytes ?? 0;
    this.byId.delete(id);
  }
}

function predecessorIn(response: Response): Predecessor | undefined {
  try {
    return asPredecessor(response);
  } catch (error) {
    if (isServingError(error)) return undefined;
    throw error;
  }
}
