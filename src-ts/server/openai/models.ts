/** GET /v1/models and /v1/models/{id}. */
import type { Abilities, Engine, ModelInfo } from "../../engine/api.js";
import { failure } from "../../failures.js";
import type { ModelAbilities, ModelList, ModelObject } from "../../protocol/models.js";

/** By each of its names, its id first: clients look whether theirs is there. */
function named(model: ModelInfo): ModelObject[] {
  return [model.id, ...model.aliases].map((id) => toObject({ ...model, id }));
}

function toObject({ id, created, abilities }: ModelInfo): ModelObject {
  return {
    id,
    object: "model",
    created: Math.floor(created),
    owned_by: "mlx-serving",
    mlx_serving: abilities === undefined ? null : describe(abilities),
  };
}

function describe(abilities: Abilities): ModelAbilities {
  return {
    decoding: abilities.batch ? "together" : "one_row_at_a_time",
    decoding_reason: abilities.batchReason,
    prefix_reuse: abilities.prefix,
    prefix_reuse_reason: abilities.prefixReason,
    kv_bits: abilities.kvBits === 0 ? null : abilities.kvBits,
    makes_text: abilities.generates,
    embedding_dimensions: abilities.dimensions === 0 ? null : abilities.dimensions,
  };
}

export function listModels(engine: Pick<Engine, "models">): ModelList {
  return { object: "list", data: engine.models().flatMap(named) };
}

function modelOf(engine: Pick<Engine, "models">, id: string): ModelObject | undefined {
  return engine
    .models()
    .flatMap(named)
    .find((candidate) => candidate.id === id);
}

export function hasModel(engine: Pick<Engine, "models">, id: string): boolean {
  return modelOf(engine, id) !== undefined;
}

/** Ids may contain `/`. Throws 404. */
export function oneModel(engine: Pick<Engine, "models">, id: string): ModelObject {
  const model = modelOf(engine, id);
  if (model === undefined)
    throw failure("model_not_found", {
      message: "There is no model with this id; see GET /v1/models.",
      param: "model",
    });
  return model;
}
