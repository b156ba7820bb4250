/**
 * What keys have used, on disk, so that a restart gives no budget back. One small file beside the stored responses,
 * written as a whole; what was used since the last writing is lost with a process that is killed.
 */
import { readFileSync, renameSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER).default(0);

/** Absent fields are zero, so that a file of before stays readable. */
const Record_ = z.object({
  requests: count,
  promptTokens: count,
  completionTokens: count,
  /** `2030-01-31`, and what was used on it. */
  day: z.string().max(10).default(""),
  dayTokens: count,
  month: z.string().max(7).default(""),
  monthTokens: count,
  /** Wall-clock ms; 0: never. */
  lastUsedAt: count,
});
export type UsageRecord = z.output<typeof Record_>;

const Content = z.object({ version: z.literal(1), keys: z.record(z.string(), Record_) });

/** By names of keys. */
export type UsageRecords = ReadonlyMap<string, UsageRecord>;

export interface UsageStore {
  load(): UsageRecords;
  save(records: UsageRecords): Promise<void>;
}

export const usageFileName = "keys-usage.json";

type Warn = (message: string, fields: Record<string, unknown>) => void;

export class UsageFile implements UsageStore {
  private readonly path: string;

  constructor(
    folder: string,
    private readonly warn: Warn,
  ) {
    this.path = join(folder, usageFileName);
  }

  /** One that can't be understood is put aside: keys count from zero, and the log says so. */
  load(): UsageRecords {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
      throw error;
    }
    try {
      return new Map(Object.entries(Content.parse(JSON.parse(text)).keys));
    } catch (error) {
      const aside = `${this.path}.damaged`;
      renameSync(this.path, aside);
      this.warn("what keys have used can't be read: they count from zero", {
        file: aside,
        reason: (error as Error).message,
      });
      return new Map();
    }
  }

  async save(records: UsageRecords): Promise<void> {
    const draft = `${this.path}.draft`;
    const content = { version: 1, keys: Object.fromEntries(records) };
    await writeFile(draft, `${JSON.stringify(content)}\n`, { mode: 0o600 });
    await rename(draft, this.path);
  }
}
