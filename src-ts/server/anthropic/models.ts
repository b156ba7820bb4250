/** GET /v1/models and /v1/models/{id}, as Anthropic's API has them. */
import type { Engine } from "../../engine/api.js";
import type { AnthropicModel, AnthropicModelList } from "../../protocol/anthropic.js";
import type { ModelObject } from "../../protocol/models.js";
import { listModels, oneModel } from "../openai/models.js";

function toModel({ id, created }: ModelObject): AnthropicModel {
  const created_at = new Date(created * 1000).toISOString();
  return { type: "model", id, display_name: id, created_at };
}

/** All of them: there is never another page. */
export function listAnthropicModels(engine: Pick<Engine, "models">): AnthropicModelList {
  const data = listModels(engine).data.map(toModel);
  return {
    data,
    has_more: false,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

/** Throws 404. */
export function oneAnthropicModel(engine: Pick<Engine, "models">, id: string): AnthropicModel {
  return toModel(oneModel(engine, id));
}
