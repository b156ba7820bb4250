/**
 * One answer as server-sent events, or as its API has them. The status line waits for the first chunk, so that what fails
 * before it can still be told by its status; a long prefill is kept alive by comments, or as its API has it.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import type { ServingError } from "../../errors.js";
import { type Dialect, errorHeaders, openAiDialect } from "../errors.js";
import { goneSignal } from "../http/client-gone.js";
import { probeEvent } from "../http/half-closed.js";
import type { ServerLimits } from "../options.js";
import type { Sink } from "./writer.js";

const comment = ": keep-alive\n\n";
const probe = ":\n\n";

/** A reader that does not even take its last error is not waited for any longer. */
const lastWordsMs = 10_000;

/** What an API has of its own in a stream that says nothing yet, or never will. */
export interface StreamShape {
  dialect: Dialect;
  /** Default: that of server-sent events. */
  contentType?: string;
  /** Sent to see whether the reader is there; no part of the answer. Default: an empty comment. */
  probe?: string;
  /** Sent while nothing else is. */
  keepAlive(): string;
}

const openAiShape: StreamShape = { dialect: openAiDialect, keepAlive: () => comment };

export class EventStream implements Sink {
  private readonly raw: ServerResponse;
  private readonly headers: Record<string, string | number | string[] | undefined>;
  private readonly gone: AbortSignal;
  private readonly timer: NodeJS.Timeout;
  private isOpen = false;
  private isEnded = false;
  private wroteSinceTick = false;
  private sentSinceTick = false;
  /** Ticks in which nothing of what waits has left. */
  private stalledTicks = 0;
  private onGone: (() => void) | undefined;

  private readonly requestId: string;

  /** Takes the reply out of the framework's hands. */
  constructor(
    reply: FastifyReply,
    private readonly limits: ServerLimits,
    private readonly shape: StreamShape = openAiShape,
  ) {
    this.requestId = reply.request.id;
    this.headers = { ...reply.getHeaders(), ...reply.request.rateHeaders() };
    reply.hijack();
    this.raw = reply.raw;
    this.gone = goneSignal(reply);
    this.gone.addEventListener("abort", () => this.left(), { once: true });
    this.raw.on(probeEvent, () => this.probe());
    this.timer = setInterval(() => this.tick(), limits.sseKeepAliveMs);
  }

  /** Calls back once if the client leaves before the end, or has left. */
  whenGone(callback: () => void): void {
    this.onGone = callback;
    if (this.gone.aborted) this.left();
  }

  get bufferedBytes(): number {
    return this.raw.writableLength;
  }

  write(texts: readonly string[], onSent: () => void): void {
    if (this.isEnded) return;
    this.open();
    this.wroteSinceTick = true;
    this.raw.write(texts.join(""), () => {
      this.sentSinceTick = true;
      onSent();
    });
  }

  end(lastText = ""): void {
    if (this.isEnded) return;
    this.open();
    this.finish(lastText);
  }

  /** Before the first byte: its status. After it: what `lastChunk` makes of it, and the end. */
  fail(error: ServingError, lastChunk: (error: ServingError) => string): void {
    if (this.isEnded) return;
    if (this.isOpen) {
      this.finish(lastChunk(error));
      return;
    }
    this.isOpen = true;
    const headers = { ...this.headers, ...errorHeaders(error) };
    this.raw.writeHead(error.status, headers);
    this.finish(JSON.stringify(this.shape.dialect.errorBody(error, this.requestId)));
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.raw.writeHead(200, {
      ...this.headers,
      "content-type": this.shape.contentType ?? "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    });
  }

  private finish(lastText: string): void {
    this.isEnded = true;
    clearInterval(this.timer);
    this.raw.end(lastText);
    if (this.raw.writableFinished) return;
    const timer = setTimeout(() => this.raw.destroy(), lastWordsMs);
    timer.unref();
    this.raw.on("close", () => clearTimeout(timer));
  }

  private tick(): void {
    const isStalled = this.raw.writableLength > 0 && !this.sentSinceTick;
    this.stalledTicks = isStalled ? this.stalledTicks + 1 : 0;
    this.sentSinceTick = false;
    if (this.stalledTicks >= this.limits.sseStalledTicksMax) {
      this.raw.destroy();
      return;
    }
    if (!this.wroteSinceTick && this.raw.writableLength === 0) {
      this.open();
      this.raw.write(this.shape.keepAlive());
    }
    this.wroteSinceTick = false;
  }

  /** Finds out about a reader that has gone without a word. */
  private probe(): void {
    if (this.isOpen && !this.isEnded && this.raw.writableLength === 0)
      this.raw.write(this.shape.probe ?? probe);
  }

  private left(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    clearInterval(this.timer);
    this.onGone?.();
  }
}
