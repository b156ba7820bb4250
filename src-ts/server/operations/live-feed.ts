/**
 * GET /admin/events: what runs, as server-sent events. Computed once for all who watch, and not at all while nobody
 * does; what has not changed is not sent again, and a reader that lags misses snapshots, never a sample.
 */
import type { Engine } from "../../engine/api.js";
import type { ServingError } from "../../errors.js";
import type { LiveEvent, Sample, Snapshot } from "../../protocol/live.js";
import type { Sink } from "../streams/writer.js";
import { samplePeriodMs } from "./history.js";

const periodMs = 400;
/** Of the time that passes, looking may take this share: a look that takes long is followed by a longer rest. */
const shareMax = 0.01;
const requestsMax = 200;

export interface Viewer extends Sink {
  whenGone(callback: () => void): void;
  end(lastText?: string): void;
}

/** Why who watches may no longer; undefined: may still. */
export type Standing = () => ServingError | undefined;

export interface FeedParts {
  engine: Engine;
  samples(): readonly Sample[];
  writeBufferBytesMax: number;
  viewersMax: number;
  now(): number;
}

export class LiveFeed {
  private readonly viewers = new Map<Viewer, Standing>();
  private timer: NodeJS.Timeout | undefined;
  /** The last snapshot but its time. */
  private last = "";

  constructor(private readonly parts: FeedParts) {}

  get isFull(): boolean {
    return this.viewers.size >= this.parts.viewersMax;
  }

  /** Until it goes, or may no longer: that is told by a last event, within a look. */
  follow(viewer: Viewer, standing: Standing): void {
    this.viewers.set(viewer, standing);
    viewer.whenGone(() => this.leave(viewer));
    const samples = [...this.parts.samples()];
    this.send(viewer, encoded({ type: "history", periodMs: samplePeriodMs, samples }));
    // Whoever comes now gets all of it at once; those before had it.
    this.send(viewer, encoded(this.snapshot()));
    this.timer ??= setTimeout(() => this.look(), periodMs);
  }

  sampled(sample: Sample): void {
    if (this.viewers.size === 0) return;
    this.dismiss();
    const text = encoded({ type: "sample", sample });
    for (const viewer of this.viewers.keys()) this.send(viewer, text);
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    for (const viewer of [...this.viewers.keys()]) {
      this.leave(viewer);
      viewer.end();
    }
  }

  private dismiss(): void {
    for (const [viewer, standing] of [...this.viewers]) {
      const error = standing();
      if (error === undefined) continue;
      this.leave(viewer);
      viewer.end(encoded({ type: "ended", error: error.toBody() }));
    }
  }

  private look(): void {
    this.dismiss();
    if (this.viewers.size === 0) return;
    const begin = this.parts.now();
    const snapshot = this.snapshot();
    const { atMs: _, ...content } = snapshot;
    const said = JSON.stringify(content);
    if (said !== this.last) {
      this.last = said;
      const text = encoded(snapshot);
      for (const viewer of this.viewers.keys())
        if (viewer.bufferedBytes < this.parts.writeBufferBytesMax) this.send(viewer, text);
        // It gets the next one, changed or not.
        else this.last = "";
    }
    const rest = Math.max(periodMs, (this.parts.now() - begin) / shareMax);
    this.timer = setTimeout(() => this.look(), rest);
  }

  private leave(viewer: Viewer): void {
    this.viewers.delete(viewer);
    if (this.viewers.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.last = "";
  }

  private send(viewer: Viewer, text: string): void {
    viewer.write([text], () => {});
  }

  private snapshot(): Snapshot {
    const { engine } = this.parts;
    const readiness = engine.readiness();
    const { requests, requestCount, batches, ended } = engine.operator.view(requestsMax);
    return {
      type: "snapshot",
      atMs: Date.now(),
      draining: engine.draining,
      ready: readiness.ready,
      ...(!readiness.ready && { reason: readiness.reason }),
      models: engine
        .models()
        .map(({ id, isDefault, ready, contextMax }) => ({ id, isDefault, ready, contextMax })),
      workers: engine.workers(),
      batches,
      requests,
      requestCount,
      ended: ended.map((one) => ({ ...one, transitions: [...one.transitions] })),
    };
  }
}

function encoded(event: LiveEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
