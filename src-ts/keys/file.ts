/**
 * A key file as a server uses it: read at the start, and again whenever it has changed. A mistake in it keeps the
 * keys of before, so that a slip of the pen locks nobody out and lets nobody in.
 */
import { readFileSync, statSync } from "node:fs";
import { ConfigError } from "../config.js";
import { type KeyEntry, KeyMistake, type KeySource, plainEntry } from "./entry.js";
import { type KeyLine, parseKeys } from "./parse.js";

const lookEveryMs = 1_000;
const fileBytesMax = 4 * 2 ** 20;

export interface KeyFileOptions {
  /** Further keys, in no file. */
  keys?: readonly string[];
  log?(level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>): void;
}

/** Throws ConfigError if it can't be read or has a mistake; it names line and field. */
export function readKeyLines(path: string): KeyLine[] {
  try {
    return parseKeys(readText(path));
  } catch (error) {
    if (error instanceof KeyMistake) throw mistaken(path, error);
    throw error;
  }
}

/** A key that a client may send: the first that the file has in clear. Throws ConfigError if there is none. */
export function secretIn(path: string): string {
  const secret = readKeyLines(path).find((one) => one.secret !== undefined)?.secret;
  if (secret !== undefined) return secret;
  throw new ConfigError(
    `The API key file ${path} holds hashes alone: give the key itself with --api-key, or in MLX_SERVING_API_KEY.`,
  );
}

export class KeyFile implements KeySource {
  entries: readonly KeyEntry[];
  mistake: KeyMistake | undefined;
  readAt: number;
  private text: string;
  private stamp: string;
  /** Seen once: it may be in the middle of being written. */
  private newStamp: string | undefined;
  private readonly callbacks: (() => void)[] = [];
  private readonly timer: NodeJS.Timeout;
  private readonly more: readonly KeyEntry[];

  /** Throws ConfigError. */
  constructor(
    private readonly path: string,
    private readonly options: KeyFileOptions = {},
  ) {
    this.more = (options.keys ?? []).map(plainEntry);
    this.stamp = stampOf(path);
    this.text = readText(path);
    this.readAt = Date.now();
    try {
      this.entries = this.all(parseKeys(this.text));
    } catch (error) {
      throw error instanceof KeyMistake ? mistaken(path, error) : error;
    }
    this.timer = setInterval(() => this.look(), lookEveryMs);
    this.timer.unref();
  }

  onChange(callback: () => void): void {
    this.callbacks.push(callback);
  }

  /** Reads it again once it is another than before, and has been the same for two looks. */
  look(): void {
    const stamp = stampOf(this.path);
    const isSettled = stamp === this.newStamp;
    this.newStamp = stamp === this.stamp ? undefined : stamp;
    if (stamp === this.stamp || !isSettled) return;
    this.stamp = stamp;
    try {
      this.take(readText(this.path));
    } catch (error) {
      if (error instanceof KeyMistake) this.refuse(error);
      else if (error instanceof ConfigError) this.refuse(new KeyMistake(error.message, 0, null));
      else throw error;
    }
  }

  close(): void {
    clearInterval(this.timer);
  }

  private take(text: string): void {
    const wasMistaken = this.mistake !== undefined;
    if (text !== this.text) {
      this.entries = this.all(parseKeys(text));
      this.text = text;
      this.readAt = Date.now();
    } else if (!wasMistaken) return;
    this.mistake = undefined;
    const keys = this.entries.length;
    this.options.log?.("info", "the API key file was read again", { keys });
    for (const callback of this.callbacks) callback();
  }

  private refuse(mistake: KeyMistake): void {
    this.mistake = mistake;
    const { line, field, what } = mistake;
    const message = "the API key file has a mistake: the keys of before stay in use";
    this.options.log?.("error", message, { file: this.path, line, field, reason: what });
  }

  /** Keys beside the file come last: a line of it may be about one of them. */
  private all(lines: readonly KeyLine[]): KeyEntry[] {
    const inFile = lines.map(({ entry }) => entry);
    const isOther = (one: KeyEntry) => !inFile.some(({ hash }) => hash.equals(one.hash));
    return [...inFile, ...this.more.filter(isOther)];
  }
}

function readText(path: string): string {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > fileBytesMax) throw new KeyMistake("it has more than 4 MiB.", 0, null);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof KeyMistake) throw error;
    throw new ConfigError(`The API key file ${path} can't be read; check its name and rights.`, {
      cause: error,
    });
  }
  return bytes.toString("utf8");
}

/** Another file, another content: an editor that writes in place, one that renames, a link that is turned. */
function stampOf(path: string): string {
  try {
    const stat = statSync(path, { bigint: true });
    return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
  } catch {
    // Whoever reads it says what is wrong.
    return "absent";
  }
}

function mistaken(path: string, mistake: KeyMistake): ConfigError {
  const place = mistake.line === 0 ? "" : ` line ${mistake.line}`;
  const field = mistake.field === null ? "" : `, ${mistake.field}`;
  return new ConfigError(`The API key file ${path}${place}${field}: ${mistake.what}`, {
    cause: mistake,
  });
}
