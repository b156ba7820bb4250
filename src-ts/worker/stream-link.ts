/**
 * A link over a stream of bytes: the socketpair on a worker's fd 3, or any other. Owns the stream's listeners;
 * knows nothing of processes or meaning.
 */
import type { Duplex } from "node:stream";
import type { Link, LinkEvents } from "./launcher.js";
import { encodeFrame, FrameDecoder, LinkViolation } from "./link.js";
import type { ToWorker } from "./messages.js";

export class StreamLink implements Link {
  /** Resolves when nothing more can come. */
  readonly flushed: Promise<void>;
  private isClosed = false;

  constructor(
    private readonly stream: Duplex,
    private readonly epoch: number,
    private readonly events: LinkEvents,
  ) {
    const decoder = new FrameDecoder(epoch, (message) => events.message(message));
    this.flushed = new Promise((resolve) => stream.once("close", () => resolve()));
    stream.on("data", (chunk: Buffer) => this.read(decoder, chunk));
    // As a dying peer resets it, or the way to it breaks.
    stream.on("error", () => {
      this.close();
      stream.destroy();
    });
    stream.once("end", () => {
      this.close();
      stream.end();
    });
  }

  send(message: ToWorker): void {
    if (this.stream.writable) this.stream.write(encodeFrame(message, this.epoch));
  }

  destroy(): void {
    this.stream.destroy();
  }

  /** An error may come after the end. */
  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.events.closed();
  }

  private read(decoder: FrameDecoder, chunk: Buffer): void {
    const staleBefore = decoder.stale;
    try {
      decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof LinkViolation)) throw error;
      this.stream.removeAllListeners("data");
      this.stream.resume();
      this.events.violated(error.message);
    }
    if (decoder.stale > staleBefore) this.events.stale(decoder.stale - staleBefore);
  }
}
