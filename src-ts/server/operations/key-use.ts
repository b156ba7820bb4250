/** What keys may and what they have used: for `GET /admin/keys` and `/metrics`. Names and figures, never a key or its hash. */
import { Counter, Gauge, type Registry } from "prom-client";
import { type KeyEntry, limitNames } from "../../keys/entry.js";
import type { KeyLimitValues, KeyList, KeyStatus } from "../../protocol/keys.js";
import type { Keys } from "../access/keys.js";
import type { Limits } from "../access/limits.js";
import type { Use } from "../access/use.js";

/** Unix seconds; null: never. */
const secondsOf = (ms: number | undefined): number | null =>
  ms === undefined || ms === 0 ? null : Math.floor(ms / 1000);

export class KeyUse {
  constructor(
    private readonly keys: Keys,
    private readonly limits: Limits,
  ) {}

  report(): KeyList {
    const { mistake, readAt } = this.keys.file;
    return {
      required: this.keys.required,
      file: {
        read_at: secondsOf(readAt),
        mistake:
          mistake === undefined
            ? null
            : { line: mistake.line, field: mistake.field, message: mistake.what },
      },
      keys: this.keys.entries.map((entry) => this.statusOf(entry)),
    };
  }

  register(registry: Registry, prefix: string): void {
    const each = (take: (name: string, use: Use) => void): void => {
      for (const entry of this.keys.entries) take(entry.name, this.limits.of(entry));
    };
    const registers = [registry];
    const counter = (name: string, help: string, read: (use: Use) => number) =>
      new Counter({
        name: `${prefix}${name}`,
        help,
        labelNames: ["key"],
        registers,
        collect() {
          this.reset();
          each((key, use) => this.inc({ key }, read(use)));
        },
      });
    counter("api_key_requests_total", "Requests of a key.", ({ counts }) => counts.requests);
    counter(
      "api_key_prompt_tokens_total",
      "Prompt tokens of a key's ended responses.",
      ({ counts }) => counts.promptTokens,
    );
    counter(
      "api_key_generation_tokens_total",
      "Generated tokens of a key's ended responses.",
      ({ counts }) => counts.completionTokens,
    );
    new Counter({
      name: `${prefix}api_key_refused_total`,
      help: "Requests of a key that one of its limits turned away.",
      labelNames: ["key", "limit"],
      registers,
      collect() {
        this.reset();
        each((key, { refused }) => {
          for (const [limit, count] of refused) this.inc({ key, limit }, count);
        });
      },
    });
    new Gauge({
      name: `${prefix}api_key_running`,
      help: "Responses of a key that run or wait.",
      labelNames: ["key"],
      registers,
      collect() {
        this.reset();
        each((key, { running }) => this.set({ key }, running));
      },
    });
    this.registerFile(registry, prefix);
  }

  private registerFile(registry: Registry, prefix: string): void {
    const { keys } = this;
    if (!keys.required) return;
    new Gauge({
      name: `${prefix}api_key_file_ok`,
      help: "0 while the key file has a mistake, and the keys of before stay in use.",
      registers: [registry],
      collect() {
        this.set(keys.file.mistake === undefined ? 1 : 0);
      },
    });
  }

  private statusOf(entry: KeyEntry): KeyStatus {
    const use = this.limits.of(entry);
    const { counts } = use;
    return {
      name: entry.name,
      state: this.keys.hasExpired(entry) ? "expired" : "active",
      expires_at: secondsOf(entry.expiresAt),
      admin: this.keys.entryMayUse(entry, "admin"),
      metrics: this.keys.entryMayUse(entry, "metrics"),
      models: entry.models === undefined ? null : [...entry.models],
      priority: entry.priority ?? null,
      priority_max: entry.priorityMax ?? null,
      limits: limitValues(entry),
      use: {
        running: use.running,
        requests: counts.requests,
        prompt_tokens: counts.promptTokens,
        completion_tokens: counts.completionTokens,
        tokens_today: this.limits.budgetUsed(use, "tokensPerDay"),
        tokens_this_month: this.limits.budgetUsed(use, "tokensPerMonth"),
        tokens_total: use.tokensTotal,
        refused: Object.fromEntries(use.refused),
        last_used_at: secondsOf(counts.lastUsedAt),
      },
    };
  }
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function limitValues({ limits }: KeyEntry): KeyLimitValues {
  const values = limitNames.map((name) => [snake(name), limits[name] ?? null]);
  return Object.fromEntries(values) as KeyLimitValues;
}
