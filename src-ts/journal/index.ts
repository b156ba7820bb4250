/** Opens the durable log of a folder: locked, recovered, ready to be written. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../engine/ports.js";
import type { Journal } from "../engine/responses/journal.js";
import { folderDisk } from "./disk.js";
import { SegmentJournal } from "./journal.js";
import { FolderInUse, lockFolder } from "./lock.js";
import { type Recovered, recover, UnknownVersion } from "./recovery.js";

export interface OpenJournalOptions {
  folder: string;
  fsync: boolean;
  clock: Clock;
  log(level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>): void;
}

/** The folder can't be used as it is: in use, of another version, not to be read or written. */
export class FolderUnusable extends Error {
  override readonly name = "FolderUnusable";
}

const segmentBytesMax = 16 * 2 ** 20;

/** Rejects with FolderUnusable. */
export async function openJournal(options: OpenJournalOptions): Promise<Journal> {
  const { folder, fsync, clock, log } = options;
  let release: (() => void) | undefined;
  try {
    const disk = await folderDisk(folder);
    release = lockFolder(folder);
    const recovered = await recover(disk);
    report(recovered, log);
    const random = () => randomBytes(4).readUInt32LE(0) / 2 ** 32;
    const common = { random, segmentBytesMax, recovered, release };
    return new SegmentJournal({ disk, fsync, clock, log, ...common });
  } catch (error) {
    release?.();
    throw unusable(error);
  }
}

function report(recovered: Recovered, log: OpenJournalOptions["log"]): void {
  const { responses, losses, cutBack, foreign } = recovered;
  for (const { segment, bytes } of losses)
    log("warn", "the journal is damaged: what could not be read is left out", { segment, bytes });
  if (foreign.size > 0)
    log("warn", foreignNote, { count: foreign.size, reasons: reasons(foreign) });
  if (cutBack.size > 0)
    log("warn", "responses were cut back to what could be read", { count: cutBack.size });
  const running = responses.filter(({ entries }) => entries.at(-1)?.kind !== "ended").length;
  if (responses.length > 0)
    log("info", "restored responses", { ended: responses.length - running, running });
}

const foreignNote = "responses that another version wrote are left on disk, and not served";
const reasonsShownMax = 5;

function reasons(foreign: Recovered["foreign"]): string[] {
  const all = [...foreign.values()].map(({ what }) => what);
  return [...new Set(all)].slice(0, reasonsShownMax);
}

function unusable(error: unknown): unknown {
  if (error instanceof FolderInUse || error instanceof UnknownVersion)
    return new FolderUnusable(error.message, { cause: error });
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? error : new FolderUnusable(message, { cause: error });
}
