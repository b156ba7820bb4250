/**
 * What docs/MODELS.md says of a model's family, told from its folder alone: a worker measures the model itself
 * when it loads it, and `GET /v1/models` tells that.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readGguf } from "./gguf.js";
import { pythonProject } from "./python.js";

const Family = z.object({
  batch: z.boolean(),
  prefix: z.enum(["part", "whole", "none"]),
  /** Absent of families that were compared before there was a quantized KV cache. */
  kv: z.boolean().optional(),
});
const Families = z.object({ mlxLm: z.string(), families: z.record(z.string(), Family) });

export interface FamilyReport {
  /** `model_type` in the model's `config.json`. */
  type: string;
  /** Whether the requests of a step pass through such a model together; null: it wasn't compared. */
  decoding: "together" | "one_row_at_a_time" | null;
  /** Whether `--kv-bits` can be given for such a model; null: it wasn't tried. */
  kv_bits: boolean | null;
}

let families: z.infer<typeof Families>["families"] | undefined;

/** Of the model in this folder, or this file; null where it doesn't say what it is. */
export function familyOf(path: string): FamilyReport | null {
  const type = modelTypeOf(path);
  if (type === undefined) return null;
  families ??= Families.parse(
    readJson(join(pythonProject, "mlx_serving", "models", "families.json")),
  ).families;
  const family = Object.hasOwn(families, type) ? families[type] : undefined;
  if (family === undefined) return { type, decoding: null, kv_bits: null };
  const decoding = family.batch ? "together" : "one_row_at_a_time";
  return { type, decoding, kv_bits: family.kv ?? null };
}

function modelTypeOf(path: string): string | undefined {
  try {
    // Architectures that are served have one name there and here.
    if (statSync(path).isFile()) return readGguf(path)?.architecture;
    return z.object({ model_type: z.string() }).parse(readJson(join(path, "config.json")))
      .model_type;
  } catch {
    // A folder that can't be served is a worker's to explain.
    return undefined;
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
