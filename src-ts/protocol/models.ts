/** GET /v1/models. */
import { z } from "zod";

/**
 * How it is served, as seen when a worker loaded it. `decoding`: the requests of a step pass through the model
 * together, or one after another where it is wrong in a batch. `prefix_reuse`: of a cached prompt any part may be
 * used again, only the whole, or nothing. The reasons are null where nothing is amiss. `kv_bits`: of each element of
 * keys and values in the KV cache; null: they are kept as they are computed. `makes_text`: false of an embedding
 * model; `embedding_dimensions`: of a text's vector, null where it has none.
 */
export const ModelAbilities = z.strictObject({
  decoding: z.enum(["together", "one_row_at_a_time"]),
  decoding_reason: z.string().nullable(),
  prefix_reuse: z.enum(["part", "whole", "none"]),
  prefix_reuse_reason: z.string().nullable(),
  kv_bits: z.literal([4, 8]).nullable(),
  makes_text: z.boolean(),
  embedding_dimensions: z.int().nullable(),
});
export type ModelAbilities = z.infer<typeof ModelAbilities>;

export const ModelObject = z.strictObject({
  id: z.string(),
  object: z.literal("model"),
  /** Unix seconds. */
  created: z.int(),
  owned_by: z.string(),
  /** Ours; null until a worker has loaded the model. */
  mlx_serving: ModelAbilities.nullable(),
});
export type ModelObject = z.infer<typeof ModelObject>;

export const ModelList = z.strictObject({
  object: z.literal("list"),
  data: z.array(ModelObject),
});
export type ModelList = z.infer<typeof ModelList>;
