/** API keys: kept as hashes, compared in constant time, never logged. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { failure } from "../../failures.js";

/** Who asks. Without keys everybody is the same owner. */
export interface Asker {
  /** Whose responses these are. */
  owner: string;
  /** Who shares fairly: the key, else the address. */
  clientId: string;
}

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

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

export class Keys {
  private readonly hashes: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.hashes = keys.map(digest);
  }

  get required(): boolean {
    return this.hashes.length > 0;
  }

  /** Whether a key comes with a request, known or not. */
  areNamed(headers: IncomingHttpHeaders): boolean {
    return headers.authorization !== undefined || headers["x-api-key"] !== undefined;
  }

  /** Throws 401 when keys are required and the headers hold none of them. */
  identify(headers: IncomingHttpHeaders, address: string): Asker {
    if (!this.required) return { owner: openOwner, clientId: `address:${address}` };
    const key = bearerOf(headers);
    if (key === undefined) throw failure("missing_api_key");
    const hash = digest(key);
    if (!this.known(hash)) throw failure("invalid_api_key");
    const owner = `key:${hash.toString("hex", 0, 8)}`;
    return { owner, clientId: owner };
  }

  /** Looks at every hash, so that the time it takes says nothing about which one matched. */
  private known(hash: Buffer): boolean {
    let found = false;
    for (const candidate of this.hashes) found = timingSafeEqual(candidate, hash) || found;
    return found;
  }
}
