/** GET /api/tags, /api/ps and /api/version, POST /api/show. */
import { createHash } from "node:crypto";
import type { FastifyReply } from "fastify";
import type { ModelInfo, WorkerInfo } from "../../engine/api.js";
import { failure } from "../../failures.js";
import {
  type OllamaModel,
  type OllamaRunning,
  OllamaShowBody,
  type OllamaTags,
  type OllamaVersion,
  ollamaVersion,
} from "../../protocol/ollama.js";
import { version } from "../../protocol/version.js";
import type { ServerContext } from "../context.js";
import type { HttpCaller } from "../http/caller.js";
import { tolerateBody } from "../validation/tolerance.js";

type Engine = Pick<ServerContext["engine"], "modelsFor" | "workers">;

/** Ollama's clients add it to a name that has none, and take it for the same. */
const defaultTag = ":latest";

const gpus = ["metal", "cuda"];
const never = "9999-12-31T23:59:59Z";

const namesOf = ({ id, aliases }: ModelInfo) => [id, ...aliases];

/** The name as it is served; one that isn't is left as it came, to be missed by it. */
export function servedName<T extends string | null | undefined>(
  engine: Engine,
  owner: string,
  name: T,
): T | string {
  if (name == null) return name;
  const names = engine.modelsFor(owner).flatMap(namesOf);
  const bare = name.endsWith(defaultTag) ? name.slice(0, -defaultTag.length) : name;
  return [name, bare, bare + defaultTag].find((one) => names.includes(one)) ?? name;
}

/** Undefined: the default one. Throws 404. */
export function findModel(
  engine: Engine,
  owner: string,
  name: string | null | undefined,
): ModelInfo {
  const isMeant = (model: ModelInfo) =>
    name == null ? model.isDefault : namesOf(model).includes(name);
  const model = engine.modelsFor(owner).find(isMeant);
  if (model !== undefined) return model;
  const message = "There is no model with this name; see GET /api/tags.";
  throw failure("model_not_found", { message, param: "model" });
}

/** By each of its names: clients look whether theirs is there. */
function listed(engine: Engine, model: ModelInfo) {
  return namesOf(model).map((name) => ({
    name,
    model: name,
    size: loadedBy(engine, model)?.limits?.weightsBytes ?? 0,
    digest: createHash("sha256").update(name).digest("hex"),
    details: detailsOf(model),
  }));
}

export function tags(engine: Engine, owner: string): OllamaTags {
  const models = engine
    .modelsFor(owner)
    .flatMap((model) =>
      listed(engine, model).map((one) => ({ ...one, modified_at: modifiedAt(model) })),
    );
  return { models };
}

/** Those that are loaded, for as long as the server lives. */
export function running(engine: Engine, owner: string): OllamaRunning {
  const models = engine.modelsFor(owner).flatMap((model) => {
    const worker = loadedBy(engine, model);
    if (worker === undefined) return [];
    const isOnGpu = gpus.includes(worker.backend ?? "");
    return listed(engine, model).map((one) => ({
      ...one,
      expires_at: never,
      size_vram: isOnGpu ? one.size : 0,
      context_length: worker.limits?.contextMax ?? 0,
    }));
  });
  return { models };
}

export function show(
  context: ServerContext,
  { owner, lease }: HttpCaller,
  given: unknown,
  reply: FastifyReply,
): OllamaModel {
  const { model: wanted, name } = tolerateBody(context, OllamaShowBody, given, reply);
  lease?.release();
  const { engine } = context;
  const model = findModel(engine, owner, servedName(engine, owner, wanted ?? name));
  return {
    modelfile: `FROM ${model.id}\n`,
    parameters: "",
    template: "",
    details: detailsOf(model),
    model_info: infoOf(model),
    capabilities: capabilitiesOf(model),
    modified_at: modifiedAt(model),
  };
}

export function versions(): OllamaVersion {
  return { version: ollamaVersion, mlx_serving: version };
}

const detailsOf = ({ format }: ModelInfo) => ({
  parent_model: "",
  format,
  family: "",
  families: [],
  parameter_size: "",
  quantization_level: "",
});

function modifiedAt({ created }: ModelInfo): string {
  return new Date(created * 1000).toISOString();
}

function loadedBy(engine: Engine, { id }: ModelInfo): WorkerInfo | undefined {
  return engine.workers().find(({ model, limits }) => model === id && limits !== undefined);
}

function infoOf({ contextMax, abilities }: ModelInfo): OllamaModel["model_info"] {
  const dimensions = abilities?.dimensions ?? 0;
  return {
    "general.architecture": "mlx",
    ...(contextMax !== undefined && { "mlx.context_length": contextMax }),
    ...(dimensions > 0 && { "mlx.embedding_length": dimensions }),
  };
}

/** Any model that makes text may be offered tools. */
function capabilitiesOf({ abilities }: ModelInfo): OllamaModel["capabilities"] {
  const makesText = abilities?.generates ?? true;
  const embeds = (abilities?.dimensions ?? 0) > 0;
  return [
    ...(makesText ? (["completion", "tools"] as const) : []),
    ...(embeds ? (["embedding"] as const) : []),
  ];
}
