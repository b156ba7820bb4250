/** GET /admin/keys: what keys may, and what they have used. Never a key. */
import { z } from "zod";
import { Priority } from "./fields.js";

const limit = z.int().nullable();

/** Null: no limit. */
export const KeyLimitValues = z.object({
  requests_per_minute: limit,
  tokens_per_minute: limit,
  /** Answers at once. */
  concurrency: limit,
  /** Days and months are those of UTC. */
  tokens_per_day: limit,
  tokens_per_month: limit,
  tokens_total: limit,
});
export type KeyLimitValues = z.infer<typeof KeyLimitValues>;

/** For operators: fields may be added, so it is not closed as the API's objects are. */
export const KeyStatus = z.object({
  name: z.string(),
  state: z.enum(["active", "expired"]),
  /** Unix seconds; null: never. */
  expires_at: z.int().nullable(),
  /** Whether it may use `/admin`, and `/metrics`. */
  admin: z.boolean(),
  metrics: z.boolean(),
  /** Ids and names of models; null: all. */
  models: z.array(z.string()).nullable(),
  /** Of requests that ask for none; null: normal. */
  priority: Priority.nullable(),
  /** The most that a request gets; null: any. */
  priority_max: Priority.nullable(),
  limits: KeyLimitValues,
  use: z.object({
    /** Responses that run or wait. */
    running: z.int(),
    requests: z.int(),
    /** Tokens of responses that have ended. */
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    tokens_today: z.int(),
    tokens_this_month: z.int(),
    tokens_total: z.int(),
    /** Requests turned away since the start, by the name of the limit in the key file. */
    refused: z.record(z.string(), z.int()),
    /** Unix seconds; null: never. */
    last_used_at: z.int().nullable(),
  }),
});
export type KeyStatus = z.infer<typeof KeyStatus>;

export const KeyList = z.object({
  /** False: the server asks for no key, and there are none. */
  required: z.boolean(),
  file: z.object({
    /** Unix seconds, of the form of the file that is in use; null: keys come from no file. */
    read_at: z.int().nullable(),
    /** What its newest form lacks, while the form before it stays in use. `line` 0: the file as a whole. */
    mistake: z
      .object({ line: z.int(), field: z.string().nullable(), message: z.string() })
      .nullable(),
  }),
  keys: z.array(KeyStatus),
});
export type KeyList = z.infer<typeof KeyList>;
