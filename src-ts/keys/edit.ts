/**
 * Changes to a key file by the command line: a line more, a line less, all others as they are. A file appears as a
 * whole, and for its owner alone.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { acquireLock } from "../../setup/lock.mjs";
import { ConfigError } from "../config.js";
import { hashOf, KeyMistake } from "./entry.js";
import { parseKeys } from "./parse.js";

const secretBytes = 32;
const ownerOnly = 0o600;

/** Field names with their values, as they are written. */
export type WrittenFields = Readonly<Record<string, string>>;

export interface Addition {
  text: string;
  /** Told once, and kept nowhere. */
  secret: string;
}

/** Throws KeyMistake. */
export function withKey(text: string, written: WrittenFields): Addition {
  const secret = `sk-mlx-${randomBytes(secretBytes).toString("base64url")}`;
  const words = Object.entries(written).map(([name, value]) => `${name}=${value}`);
  const line = [`sha256:${hashOf(secret).toString("hex")}`, ...words].join(" ");
  const before = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  const changed = `${before}${line}\n`;
  parseKeys(changed);
  return { text: changed, secret };
}

/** Undefined: no key has this name. Throws KeyMistake, also where it is the last one. */
export function withoutKey(text: string, name: string): string | undefined {
  const found = parseKeys(text).find(({ entry }) => entry.name === name);
  if (found === undefined) return undefined;
  const ending = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text.split(/\r?\n/);
  lines.splice(found.line - 1, 1);
  const changed = lines.join(ending);
  parseKeys(changed);
  return changed;
}

/**
 * One change after another, whoever makes them. `change` gets the text (empty: there is no file) and gives another.
 * Throws ConfigError for a file that can't be read or written, or has a mistake.
 */
export async function editKeyFile<T extends { text: string }>(
  path: string,
  change: (text: string) => T,
): Promise<T> {
  // A link stays a link.
  const target = existsSync(path) ? realpathSync(path) : path;
  try {
    const release = await acquireLock(`${target}.lock`);
    try {
      const changed = change(existsSync(target) ? readFileSync(target, "utf8") : "");
      replace(target, changed.text);
      return changed;
    } finally {
      release();
    }
  } catch (error) {
    if (error instanceof KeyMistake)
      throw new ConfigError(`The API key file ${path} stays as it is: ${error.message}`, {
        cause: error,
      });
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new ConfigError(
      `The API key file ${path} can't be written; check its folder and rights.`,
      {
        cause: error,
      },
    );
  }
}

function replace(path: string, text: string): void {
  const draft = `${path}.${process.pid}.draft`;
  try {
    writeFileSync(draft, text, { mode: ownerOnly, flag: "wx" });
    const before = statSync(path, { throwIfNoEntry: false });
    // A server of another user goes on reading it, as its owner or through its group.
    if (before !== undefined) chownSync(draft, before.uid, before.gid);
    // The umask has no say in it.
    chmodSync(draft, before === undefined ? ownerOnly : before.mode & 0o640);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
