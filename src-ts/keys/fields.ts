/**
 * The fields of a key file: `name=alice requests-per-minute=60`. Owns how each is written and read; one table for
 * the file and for the flags of `mlx-serving keys add`.
 */
import { priorityValues } from "../protocol/fields.js";
import type { AdminRight, KeyEntry, KeyPriority, LimitName } from "./entry.js";

export interface Field {
  /** What `keys add --help` says. */
  help: string;
  /** Completes "must be …". */
  expected: string;
  placeholder: string;
  /** Undefined: it is no such value. */
  read(value: string): Partial<KeyEntry> | undefined;
}

export const keyName = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const modelName = /^[^\s,#]{1,256}$/;
export const modelsPerKeyMax = 64;

const tokensMax = 1e15;
const factors: Readonly<Record<string, number>> = { "": 1, k: 1e3, M: 1e6, G: 1e9 };

/** `500`, `50k`, `1.5M`, `1_000_000`. */
function amount(text: string, max: number): number | undefined {
  const [, digits, unit] = /^(\d[\d_]*(?:\.\d+)?)([kMG]?)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const value = Math.round(Number(digits.replaceAll("_", "")) * factors[unit]!);
  return value >= 1 && value <= max ? value : undefined;
}

function limit(name: LimitName, max: number, help: string): Field {
  return {
    help,
    expected: `a number from 1 to ${max.toLocaleString("en")}, such as 60, 50k or 2M`,
    placeholder: "<n>",
    read: (text) => {
      const value = amount(text, max);
      return value === undefined ? undefined : { limits: { [name]: value } };
    },
  };
}

const day = /^\d{4}-\d{2}-\d{2}$/;
const moment = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?Z$/;

/** In UTC; undefined for a day that no calendar has. */
export function timeOf(text: string): number | undefined {
  if (!day.test(text) && !moment.test(text)) return undefined;
  const time = Date.parse(text);
  const isReal = !Number.isNaN(time) && new Date(time).toISOString().startsWith(text.slice(0, 10));
  return isReal ? time : undefined;
}

const isPriority = (text: string): text is KeyPriority =>
  (priorityValues as readonly string[]).includes(text);
const priorities = `one of ${priorityValues.join(", ")}`;

const rights: readonly AdminRight[] = ["yes", "metrics", "no"];

/** By name, in the order in which they are written. */
export const fields: Readonly<Record<string, Field>> = {
  name: {
    help: "name of the key",
    expected: "1 to 64 letters, digits and . _ @ -, the first a letter or digit",
    placeholder: "<name>",
    read: (text) => (keyName.test(text) ? { name: text } : undefined),
  },
  "requests-per-minute": limit("requestsPerMinute", 1e6, "requests a minute"),
  "tokens-per-minute": limit("tokensPerMinute", tokensMax, "tokens a minute, prompt and answer"),
  concurrency: limit("concurrency", 1e5, "answers at once"),
  "tokens-per-day": limit("tokensPerDay", tokensMax, "tokens a day (UTC)"),
  "tokens-per-month": limit("tokensPerMonth", tokensMax, "tokens a month (UTC)"),
  "tokens-total": limit("tokensTotal", tokensMax, "tokens in all"),
  priority: {
    help: "of requests that ask for none",
    expected: priorities,
    placeholder: `<${priorityValues.join("|")}>`,
    read: (text) => (isPriority(text) ? { priority: text } : undefined),
  },
  "priority-max": {
    help: "the most that a request gets",
    expected: priorities,
    placeholder: `<${priorityValues.join("|")}>`,
    read: (text) => (isPriority(text) ? { priorityMax: text } : undefined),
  },
  models: {
    help: "models that it may use, separated by commas",
    expected: `1 to ${modelsPerKeyMax} ids or names of models, separated by commas`,
    placeholder: "<list>",
    read: (text) => {
      const models = text.split(",");
      const isList = models.length <= modelsPerKeyMax && models.every((id) => modelName.test(id));
      return isList ? { models } : undefined;
    },
  },
  expires: {
    help: "when it ends, in UTC: 2030-01-31 or 2030-01-31T12:00Z",
    expected:
      "a day such as 2030-01-31, from whose beginning (UTC) on it is over, or a time such as 2030-01-31T12:00Z",
    placeholder: "<time>",
    read: (text) => {
      const expiresAt = timeOf(text);
      return expiresAt === undefined ? undefined : { expiresAt };
    },
  },
  admin: {
    help: "whether it may use /admin and /metrics: yes, metrics (that alone), no",
    expected: `one of ${rights.join(", ")}`,
    placeholder: `<${rights.join("|")}>`,
    read: (text) => {
      const admin = rights.find((right) => right === text);
      return admin === undefined ? undefined : { admin };
    },
  },
};
