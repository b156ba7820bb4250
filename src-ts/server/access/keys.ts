/** API keys: which there are now, who asks with which, and what each may do. Hashes alone, compared in constant time, never logged. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import { hashOf, type KeyEntry, type KeySource } from "../../keys/entry.js";
import { priorityValues } from "../../protocol/fields.js";

/** Who asks. Without keys everybody is the same owner. */
export interface Asker {
  /** Whose responses these are. */
  owner: string;
  /** Who shares fairly: the key, else the address. */
  clientId: string;
}

/** Routes that not every key may use. */
export type Area = "admin" | "metrics";

/** Owner of every response of a server without keys. */
const openOwner = "open";

const apiKey = /^[\x21-\x7e]+$/;
const bearer = /^Bearer +([\x21-\x7e]+) *$/i;

/** As OpenAI's clients send it, or as Anthropic's do. */
export function bearerOf({
  authorization,
  "x-api-key": given,
}: IncomingHttpHeaders): string | undefined {
  const key = bearer.exec(authorization ?? "")?.[1];
  if (key !== undefined || typeof given !== "string") return key;
  return apiKey.exec(given.trim())?.[0];
}

function ownerOf({ hash }: KeyEntry): string {
  return `key:${hash.toString("hex", 0, 8)}`;
}

type Priority = (typeof priorityValues)[number];
const rankOf = (priority: Priority) => priorityValues.indexOf(priority);

export class Keys {
  readonly required: boolean;
  private byOwner = new Map<string, KeyEntry>();
  /** A key says of itself that it may: those that don't may not. */
  private someMayOperate = false;

  constructor(
    private readonly source: KeySource,
    private readonly wall: () => number = () => Date.now(),
  ) {
    this.required = source.entries.length > 0;
    this.take();
    source.onChange(() => this.take());
  }

  get entries(): readonly KeyEntry[] {
    return this.source.entries;
  }

  /** What became of the last change to their file. */
  get file(): Pick<KeySource, "mistake" | "readAt"> {
    return this.source;
  }

  /** Whether a key comes with a request, known or not. */
  areNamed(headers: IncomingHttpHeaders): boolean {
    return headers.authorization !== undefined || headers["x-api-key"] !== undefined;
  }

  /** Throws 401 when keys are required and the headers hold none of them, or one that has expired. */
  identify(headers: IncomingHttpHeaders, address: string): Asker {
    if (!this.required) return { owner: openOwner, clientId: `address:${address}` };
    const key = bearerOf(headers);
    if (key === undefined) throw failure("missing_api_key");
    const entry = this.known(hashOf(key));
    if (entry === undefined) throw failure("invalid_api_key");
    const owner = ownerOf(entry);
    this.check(owner);
    return { owner, clientId: owner };
  }

  /** Of a key that is there and has not expired; of a server without keys, undefined. Else it throws 401. */
  check(owner: string): KeyEntry | undefined {
    if (!this.required) return undefined;
    const entry = this.byOwner.get(owner);
    if (entry === undefined) throw failure("invalid_api_key");
    if (this.hasExpired(entry)) throw failure("expired_api_key");
    return entry;
  }

  /** Why a connection of this owner can't go on; undefined: it can. */
  problem(owner: string): ServingError | undefined {
    if (!this.required) return undefined;
    const entry = this.byOwner.get(owner);
    if (entry === undefined) return failure("invalid_api_key");
    return this.hasExpired(entry) ? failure("expired_api_key") : undefined;
  }

  /** Undefined: there is none, or no more. */
  find(owner: string): KeyEntry | undefined {
    return this.byOwner.get(owner);
  }

  hasExpired({ expiresAt }: KeyEntry): boolean {
    return expiresAt !== undefined && expiresAt <= this.wall();
  }

  mayUse(owner: string, area: Area): boolean {
    if (!this.required) return true;
    const entry = this.byOwner.get(owner);
    return entry !== undefined && this.entryMayUse(entry, area);
  }

  entryMayUse({ admin }: KeyEntry, area: Area): boolean {
    if (admin === undefined) return !this.someMayOperate;
    return admin === "yes" || (admin === "metrics" && area === "metrics");
  }

  /** What a request gets that asks for `asked`. */
  priorityFor(owner: string, asked: Priority | undefined): Priority | undefined {
    const { priority, priorityMax } = this.byOwner.get(owner) ?? {};
    const wanted = asked ?? priority;
    if (priorityMax === undefined) return wanted;
    return rankOf(wanted ?? "normal") < rankOf(priorityMax) ? priorityMax : wanted;
  }

  /** Whether it is less than what was asked for. */
  lowers(owner: string, asked: Priority | undefined): boolean {
    return asked !== undefined && this.priorityFor(owner, asked) !== asked;
  }

  /** Looks at every hash, so that the time it takes says nothing about which one matched. */
  private known(hash: Buffer): KeyEntry | undefined {
    let found: KeyEntry | undefined;
    for (const candidate of this.source.entries)
      if (timingSafeEqual(candidate.hash, hash)) found = candidate;
    return found;
  }

  private take(): void {
    const { entries } = this.source;
    this.byOwner = new Map(entries.map((entry) => [ownerOf(entry), entry]));
    this.someMayOperate = entries.some(({ admin }) => admin === "yes" || admin === "metrics");
  }
}
