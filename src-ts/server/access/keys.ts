/** API keys: kept as hashes, compared in constant time, never logged. */
import { createHash, timingSafeEqual } from "node:crypto";
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

const bearer = /^Bearer +([\x21-\x7e]+) *$/i;

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

  /** Throws 401 when keys are required and `authorization` holds none of them. */
  identify(authorization: string | undefined, address: string): Asker {
    if (!this.required) return { owner: openOwner, clientId: `address:${address}` };
    const key = bearer.exec(authorization ?? "")?.[1];
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
