/** GET /v1/models and /v1/models/{id}. */
import type { Engine, ModelInfo } from "../../engine/api.js";
import type { ModelList, ModelObject } from "../../protocol/models.js";
import { notFound } from "../errors.js";

function toObject({ id, created }: ModelInfo): ModelObject {
  return { id, object: "model", created: Math.floor(created), owned_by: "mlx-serving" };
}

export function listModels(engine: Engine): ModelList {
  return { object: "list", data: engine.models().map(toObject) };
}

/** Ids may contain `/`. Throws 404. */
export function oneModel(engine: Engine, id: string): ModelObject {
  const model = engine.models().find((candidate) => candidate.id === id);
  if (model === undefined)
    throw notFound(
      "There is no model with this id; see GET /v1/models.",
      "model_not_found",
      "model",
    );
  return toObject(model);
}
