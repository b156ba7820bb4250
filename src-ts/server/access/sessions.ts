/**
 * Sessions of people at the console: a token that stands for the key it was opened with, so that a page need not
 * keep the key. Bounded in number and life, and gone with this process. A session's key is asked again at each
 * use: what a key may no longer do its sessions can't. Tokens are kept as hashes, and keys are sealed by their tokens: the
 * memory of this server tells neither. Nothing of them is logged.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ServingError } from "../../errors.js";
import { failure } from "../../failures.js";
import type { ConsoleSession } from "../../protocol/sessions.js";
import { type Asker, bearerOf, type Keys } from "./keys.js";

const tokenPrefix = "mlxs_";
const tokenBytes = 32;
const lifeMs = 12 * 60 * 60 * 1000;
/** The oldest one of a key makes room for its next. */
const perOwnerMax = 32;
const sessionsMax = 4_096;

interface Session {
  owner: string;
  sealedKey: Buffer;
  /** On the monotonic clock. */
  expiresAtMs: number;
}

const cipher = "aes-256-gcm";
/** A token seals one key, once. */
const iv = Buffer.alloc(12);
const tagBytes = 16;

function sealerOf(token: string): Buffer {
  return Buffer.from(hkdfSync("sha256", token, "", "mlx-serving session", 32));
}

function sealed(key: string, token: string): Buffer {
  const sealer = createCipheriv(cipher, sealerOf(token), iv);
  return Buffer.concat([sealer.update(key, "utf8"), sealer.final(), sealer.getAuthTag()]);
}

function unsealed(box: Buffer, token: string): string {
  const opener = createDecipheriv(cipher, sealerOf(token), iv);
  opener.setAuthTag(box.subarray(-tagBytes));
  return Buffer.concat([opener.update(box.subarray(0, -tagBytes)), opener.final()]).toString(
    "utf8",
  );
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

export class Sessions {
  /** By hash, in the order of their end: all live equally long. */
  private readonly open = new Map<string, Session>();

  constructor(
    private readonly keys: Keys,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get required(): boolean {
    return this.keys.required;
  }

  areNamed(headers: IncomingHttpHeaders): boolean {
    return this.keys.areNamed(headers);
  }

  /** By a key, or by the token of a session. Throws 401. */
  identify(headers: IncomingHttpHeaders, address: string): Asker {
    const token = tokenIn(headers);
    if (token === undefined) return this.keys.identify(headers, address);
    const session = this.find(token);
    if (session === undefined) throw failure("session_expired");
    const key = unsealed(session.sealedKey, token);
    return this.keys.identify({ authorization: `Bearer ${key}` }, address);
  }

  /** Whoever asks has come with a key that is known. Throws 400 where none is needed, or it was no key. */
  begin(headers: IncomingHttpHeaders, { owner }: Asker): ConsoleSession {
    const key = bearerOf(headers);
    if (!this.required || key === undefined || key.startsWith(tokenPrefix))
      throw failure("no_key_given");
    this.makeRoom(owner);
    const token = `${tokenPrefix}${randomBytes(tokenBytes).toString("base64url")}`;
    const expiresAtMs = this.now() + lifeMs;
    this.open.set(digest(token), { owner, sealedKey: sealed(key, token), expiresAtMs });
    return { token, expires_in: lifeMs / 1000 };
  }

  /** Ends the session that these headers name; does nothing where they name none. */
  end(headers: IncomingHttpHeaders): void {
    const token = tokenIn(headers);
    if (token !== undefined) this.open.delete(digest(token));
  }

  /** For what goes on after its request: why it may no longer; undefined: it may. Holds no token. */
  standing(headers: IncomingHttpHeaders, { owner }: Asker): () => ServingError | undefined {
    const token = tokenIn(headers);
    const hash = token === undefined ? undefined : digest(token);
    return () => {
      this.dropExpired();
      if (hash !== undefined && !this.open.has(hash)) return failure("session_expired");
      return this.keys.problem(owner);
    };
  }

  private find(token: string): Session | undefined {
    this.dropExpired();
    return this.open.get(digest(token));
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [hash, { expiresAtMs }] of this.open) {
      if (expiresAtMs > now) return;
      this.open.delete(hash);
    }
  }

  private makeRoom(owner: string): void {
    this.dropExpired();
    const own = [...this.open].filter(([, session]) => session.owner === owner);
    const oldest = own.length >= perOwnerMax ? own[0]?.[0] : undefined;
    const first = this.open.size >= sessionsMax ? this.open.keys().next().value : undefined;
    for (const hash of [oldest, first]) if (hash !== undefined) this.open.delete(hash);
  }
}

function tokenIn(headers: IncomingHttpHeaders): string | undefined {
  const token = bearerOf(headers);
  return token?.startsWith(tokenPrefix) ? token : undefined;
}
