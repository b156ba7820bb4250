/** GET /v1/models. */
import { z } from "zod";

export const ModelObject = z.strictObject({
  id: z.string(),
  object: z.literal("model"),
  /** Unix seconds. */
  created: z.int(),
  owned_by: z.string(),
});
export type ModelObject = z.infer<typeof ModelObject>;

export const ModelList = z.strictObject({
  object: z.literal("list"),
  data: z.array(ModelObject),
});
export type ModelList = z.infer<typeof ModelList>;
