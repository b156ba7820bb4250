/**
 * Sessions of people at the console: a token that stands for the key it was opened with, so that a page need not
 * keep the key. Bounded in number and life, and gone with this process. A session's key is asked again at each
 * use: what a key may no longer do its sessions can't. Tokens are kept as hashes; neither is ever logged.
 */
import { createHash, randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
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
  key: string;
  /** On the monotonic clock. */
  expiresAtMs: number;
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
    return this.keys.identify({ authorization: `Bearer ${session.key}` }, address);
  }

  /** Whoever asks has come with a key that is known. Throws 400 where none is needed, or it was no key. */
  begin(headers: IncomingHttpHeaders, { owner }: Asker): ConsoleSession {
    const key = bearerOf(headers);
    if (!this.required || key === undefined || key.startsWith(tokenPrefix))
      throw failure("no_key_given");
    this.makeRoom(owner);
    const token = `${tokenPrefix}${randomBytes(tokenBytes).toString("base64url")}`;
    this.open.set(digest(token), { owner, key, expiresAtMs: this.now() + lifeMs });
    return { token, expires_in: lifeMs / 1000 };
  }

  /** Ends the session that these headers name; does nothing where they name none. */
  end(headers: IncomingHttpHeaders): void {
    const token = tokenIn(headers);
    if (token !== undefined) this.open.delete(digest(token));
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
