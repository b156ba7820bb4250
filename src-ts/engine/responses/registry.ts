/**
 * Which responses exist: found by id and owner, attached to by idempotency key, abandoned when their
 * last reader has gone, forgotten by age and bytes. Owns nothing of their content.
 */
import { isServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { Abandonment, ReaderLag, Submission } from "../api.js";
import type { Acceptance } from "../journal.js";
import type { Clock, Timer } from "../ports.js";
import type { ResponseLog } from "./log.js";

interface Kept {
  log: ResponseLog;
  abandonment: Abandonment;
  idempotencyId: string | undefined;
  /** Runs while nobody reads a running response that is not stored. */
  grace: Timer | undefined;
  /** Forgets an ended response. */
  expiry: Timer | undefined;
  bytes: number;
}

interface Attached {
  fingerprint: string;
  response: Promise<ResponseLog>;
}

export interface RegistryOptions {
  clock: Clock;
  retentionBytesMax: number;
  retentionMs: number;
  /** Cancels a running response. */
  cancel(id: string): void;
}

export class Registry {
  private readonly kept = new Map<string, Kept>();
  private readonly attached = new Map<string, Attached>();
  private retainedBytes = 0;

  constructor(private readonly options: RegistryOptions) {}

  get size(): number {
    return this.kept.size;
  }

  /** The response that this idempotency key made already, or registers `make` as the one that does. */
  once(
    submission: Submission,
    make: (idempotencyId: string | undefined) => Promise<ResponseLog>,
  ): Promise<ResponseLog> {
    const { idempotency, owner } = submission;
    if (idempotency === undefined) return make(undefined);
    const id = keyId(owner, idempotency.key);
    const known = this.attached.get(id);
    if (known === undefined) {
      const response = make(id);
      this.attached.set(id, { fingerprint: idempotency.fingerprint, response });
      // A request that was turned away may be tried again with the same key.
      response.catch(() => this.attached.delete(id));
      return response;
    }
    if (known.fingerprint !== idempotency.fingerprint) {
      return Promise.reject(failure("idempotency_conflict", { param: "Idempotency-Key" }));
    }
    // The one who came first gave up; that is no reason for those who came after.
    return known.response.catch((error: unknown) => {
      if (isServingError(error) && error.code === "cancelled") return this.once(submission, make);
      throw error;
    });
  }

  /** A response of an earlier process is found again, by its key too. */
  restore(log: ResponseLog, { owner, idempotency }: Acceptance): void {
    const id = idempotency && keyId(owner, idempotency.key);
    this.add(log, { kind: "keep" }, id);
    if (id === undefined) return;
    const { fingerprint } = idempotency!;
    this.attached.set(id, { fingerprint, response: Promise.resolve(log) });
  }

  add(log: ResponseLog, abandonment: Abandonment, idempotencyId: string | undefined): void {
    this.kept.set(log.id, {
      log,
      abandonment,
      idempotencyId,
      grace: undefined,
      expiry: undefined,
      bytes: 0,
    });
  }

  find(id: string, owner: string): ResponseLog | undefined {
    const kept = this.kept.get(id);
    return kept !== undefined && kept.log.owner === owner ? kept.log : undefined;
  }

  readersChanged(log: ResponseLog, readers: number): void {
    const kept = this.kept.get(log.id);
    if (kept === undefined) return;
    kept.grace?.cancel();
    kept.grace = undefined;
    if (readers > 0) return;
    if (log.ending !== undefined) {
      if (kept.abandonment.kind === "cancel") this.forget(log.id);
      return;
    }
    this.abandon(kept);
  }

  /** Its end can be seen, for `ageMs` already. */
  ended(log: ResponseLog, ageMs = 0): void {
    const kept = this.kept.get(log.id);
    if (kept === undefined) return;
    kept.grace?.cancel();
    const { abandonment } = kept;
    if (abandonment.kind === "cancel" && log.readers === 0) {
      this.forget(log.id);
      return;
    }
    kept.bytes = log.bytes;
    this.retainedBytes += kept.bytes;
    const ms =
      log.store || abandonment.kind === "keep"
        ? this.options.retentionMs
        : graceMs(abandonment, this.options.retentionMs);
    kept.expiry = this.options.clock.after(Math.max(0, ms - ageMs), () => this.expire(log.id));
    this.trim();
  }

  /** False if there is no such response. */
  forget(id: string): boolean {
    const kept = this.kept.get(id);
    if (kept === undefined) return false;
    kept.grace?.cancel();
    kept.expiry?.cancel();
    this.retainedBytes -= kept.bytes;
    this.kept.delete(id);
    kept.log.discard();
    if (kept.idempotencyId !== undefined) this.attached.delete(kept.idempotencyId);
    return true;
  }

  /** How far readers are behind. */
  readerLag(): ReaderLag {
    const lag = { readers: 0, max: 0, sum: 0 };
    for (const { log } of this.kept.values()) log.addLag(lag);
    return lag;
  }

  /** Stops every clock. What is on disk stays there. */
  close(): void {
    for (const { grace, expiry } of this.kept.values()) {
      grace?.cancel();
      expiry?.cancel();
    }
    this.kept.clear();
    this.attached.clear();
  }

  private abandon(kept: Kept): void {
    const { abandonment, log } = kept;
    if (abandonment.kind === "keep") return;
    if (abandonment.kind === "cancel") {
      this.options.cancel(log.id);
      return;
    }
    kept.grace = this.options.clock.after(abandonment.ms, () => this.options.cancel(log.id));
  }

  // A reader that is still at it keeps an ended response alive; it is looked at again later.
  private expire(id: string): void {
    const kept = this.kept.get(id);
    if (kept === undefined) return;
    if (kept.log.readers === 0) this.forget(id);
    else kept.expiry = this.options.clock.after(this.options.retentionMs, () => this.expire(id));
  }

  private trim(): void {
    for (const [id, kept] of this.kept) {
      if (this.retainedBytes <= this.options.retentionBytesMax) return;
      if (kept.log.ending !== undefined && kept.log.readers === 0) this.forget(id);
    }
  }
}

function keyId(owner: string, key: string): string {
  return `${owner}\n${key}`;
}

// What is not stored can be resumed for a while after its end, as it could be before.
function graceMs(abandonment: Abandonment, retentionMs: number): number {
  return abandonment.kind === "grace" ? Math.min(abandonment.ms, retentionMs) : 0;
}
