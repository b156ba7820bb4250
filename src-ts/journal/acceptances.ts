/**
 * An accepted request as a folder has it. Owns its fields on disk, and what one that isn't there means:
 * a folder outlives the version that wrote it. Knows nothing of the link, whose messages change with the
 * workers.
 */
import { z } from "zod";
import { packTokens, unpackTokens } from "../encoding/tokens.js";
import { allItems, conversation } from "../engine/conversation.js";
import type { Acceptance } from "../engine/journal.js";
import { count, packedTokens } from "./values.js";

/** A bigint, so that no bit is lost; a small one may have been read as a number. */
const seed = z
  .union([z.bigint().min(0n).max(0xffff_ffff_ffff_ffffn), z.int().min(0)])
  .transform(BigInt);

/**
 * The defaults ask for nothing. They say what versions meant that had no such field, so none of them ever
 * changes. A field that is new gets one; with that, folders of before are read.
 */
const sampling = z.object({
  temperature: z.number().default(0),
  topP: z.number().default(1),
  topK: count.default(0),
  minP: z.number().default(0),
  repetitionPenalty: z.number().default(1),
  presencePenalty: z.number().default(0),
  frequencyPenalty: z.number().default(0),
  logitBias: z.array(z.tuple([count, z.number()])).default([]),
  seed: seed.default(0n),
  stop: z.array(z.string()).default([]),
  logprobs: z.int().min(-1).default(-1),
});

const tool = z.object({
  name: z.string(),
  description: z.string().default(""),
  parameters: z.record(z.string(), z.unknown()).default({}),
  custom: z.boolean().default(false),
  pattern: z.string().optional(),
  lark: z.string().optional(),
  /** Absent: as versions wrote it that kept arguments to nothing. */
  kept: z.string().optional(),
  loose: z.boolean().optional(),
});

/** Versions without tools wrote none: their turns are messages alone. */
const turn = z.object({
  tools: z
    .object({
      tools: z.array(tool),
      choice: z
        .union([z.enum(["none", "auto", "required"]), z.object({ name: z.string() })])
        .default("auto"),
      parallel: z.boolean().default(true),
    })
    .optional(),
  reasoning: z.object({ enabled: z.boolean().optional(), maxTokens: count.optional() }).optional(),
  fakeSay: z.string().optional(),
});

/** A worker refuses a kind that it doesn't know, and its request fails alone. */
const kind = z.custom<NonNullable<Acceptance["constraint"]>["kind"]>(
  (value) => typeof value === "string",
);

/** Required is what nobody could go on without. Fields that only later versions know are passed over. */
const fields = z.object({
  id: z.string().min(1),
  model: z.string(),
  owner: z.string(),
  createdAt: z.number(),
  echo: z.unknown().optional(),
  /** What was said before, and what the request itself said. Versions before 1.3 kept neither. */
  said: z.tuple([z.array(z.unknown()), z.array(z.unknown())]).optional(),
  maxTokens: count,
  sampling: sampling.prefault({}),
  promptTokens: packedTokens.transform((bytes) => unpackTokens(bytes)),
  /** The first versions stored nothing but chats, and didn't say so. */
  chat: z.boolean().default(true),
  turn: turn.prefault({}),
  /** Absent: it may be anything, as it always was before. */
  constraint: z.object({ kind, text: z.string() }).optional(),
  clientId: z.string().optional(),
  priority: z.enum(["interactive", "normal", "batch"]).default("normal"),
  deadlineAt: z.number().optional(),
  idempotency: z.object({ key: z.string(), fingerprint: z.string() }).optional(),
  cost: z.object({ promptTokens: count, newTokens: count, kvBytes: z.number() }),
});

/** The engine's acceptance: a field that is missing here doesn't compile. */
export const acceptance = fields.transform(
  ({ echo, said, clientId, constraint, deadlineAt, idempotency, ...rest }): Acceptance => ({
    ...rest,
    echo,
    conversation: said && conversation(said[1], conversation(said[0], undefined)),
    constraint,
    clientId: clientId ?? rest.owner,
    deadlineAt,
    idempotency,
  }),
);

export function acceptanceToDisk(accepted: Acceptance): Record<string, unknown> {
  const { turn, conversation, ...rest } = accepted;
  const turned = Object.keys(turn).length > 0 && { turn };
  const said = conversation && { said: [allItems(conversation.before), conversation.items] };
  return { ...rest, ...turned, ...said, promptTokens: packTokens(accepted.promptTokens) };
}
