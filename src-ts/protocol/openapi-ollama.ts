/** The routes of Ollama's API, as `openapi-routes.ts` has the others. A table, and no logic. */
import {
  OllamaChat,
  OllamaChatBody,
  OllamaEmbed,
  OllamaEmbedBody,
  OllamaEmbeddings,
  OllamaEmbeddingsBody,
  OllamaError,
  OllamaGenerateBody,
  OllamaGeneration,
  OllamaModel,
  OllamaRunning,
  OllamaShowBody,
  OllamaTags,
  OllamaVersion,
  ollamaVersion,
} from "./ollama.js";
import { json, type Operation } from "./openapi-operation.js";
import { envelope, generation } from "./openapi-routes.js";
import { version } from "./version.js";

const model = "smollm2-135m-instruct";
const at = "2026-01-01T00:00:00.000Z";

const ending = {
  model,
  created_at: at,
  done: true,
  done_reason: "stop",
  total_duration: 910_000_000,
  load_duration: 10_000_000,
  prompt_eval_count: 14,
  prompt_eval_duration: 100_000_000,
  eval_count: 8,
  eval_duration: 800_000_000,
};

const details = {
  parent_model: "",
  format: "safetensors",
  family: "",
  families: [],
  parameter_size: "",
  quantization_level: "",
};

const dialect = "ollama" as const;

export const ollamaOperations: readonly Operation[] = [
  {
    id: "ollamaChat",
    isTolerant: true,
    dialect,
    method: "post",
    path: "/api/chat",
    tag: "inference",
    summary: "The next message of a chat in Ollama's API, streamed unless `stream` is false.",
    parameters: envelope,
    body: {
      schema: OllamaChatBody,
      example: {
        messages: [{ role: "user", content: "What is the capital of France?" }],
        options: { num_predict: 64 },
      },
    },
    answers: {
      200: {
        ...json("The message, or its lines.", OllamaChat, {
          ...ending,
          message: { role: "assistant", content: "The capital of France is Paris." },
        }),
        lines: [OllamaChat, OllamaError],
      },
    },
    errors: generation,
  },
  {
    id: "ollamaGenerate",
    isTolerant: true,
    dialect,
    method: "post",
    path: "/api/generate",
    tag: "inference",
    summary: "The answer to a prompt in Ollama's API, streamed unless `stream` is false.",
    parameters: envelope,
    body: { schema: OllamaGenerateBody, example: { prompt: "Say hello.", stream: false } },
    answers: {
      200: {
        ...json("The answer, or its lines.", OllamaGeneration, { ...ending, response: "Hello." }),
        lines: [OllamaGeneration, OllamaError],
      },
    },
    errors: generation,
  },
  {
    id: "ollamaEmbed",
    isTolerant: true,
    dialect,
    method: "post",
    path: "/api/embed",
    tag: "inference",
    summary: "A vector of each text, in Ollama's API.",
    parameters: envelope,
    body: { schema: OllamaEmbedBody, example: { input: ["A cat", "A dog"], dimensions: 2 } },
    answers: {
      200: json("One a text.", OllamaEmbed, {
        model,
        embeddings: [
          [0.6, 0.8],
          [-0.8, 0.6],
        ],
        total_duration: 12_000_000,
        load_duration: 0,
        prompt_eval_count: 4,
      }),
    },
    errors: generation,
  },
  {
    id: "ollamaEmbeddings",
    isTolerant: true,
    dialect,
    method: "post",
    path: "/api/embeddings",
    tag: "inference",
    summary: "The vector of one text, as Ollama's API had it first.",
    parameters: envelope,
    body: { schema: OllamaEmbeddingsBody, example: { prompt: "A cat" } },
    answers: { 200: json("The vector.", OllamaEmbeddings, { embedding: [0.6, 0.8] }) },
    errors: generation,
  },
  {
    id: "ollamaTags",
    dialect,
    method: "get",
    path: "/api/tags",
    tag: "models",
    summary: "The models that are served, as Ollama lists them.",
    answers: {
      200: json("All of them.", OllamaTags, {
        models: [
          {
            name: model,
            model,
            modified_at: at,
            size: 269_060_381,
            digest: "c77a1476bd4cfa4db604538dcfeaca2222bd979093ce5217800e4262c2881c30",
            details,
          },
        ],
      }),
    },
  },
  {
    id: "ollamaRunning",
    dialect,
    method: "get",
    path: "/api/ps",
    tag: "models",
    summary: "The models that are loaded, as Ollama lists them.",
    answers: {
      200: json("All of them.", OllamaRunning, {
        models: [
          {
            name: model,
            model,
            size: 269_060_381,
            digest: "c77a1476bd4cfa4db604538dcfeaca2222bd979093ce5217800e4262c2881c30",
            details,
            expires_at: "9999-12-31T23:59:59Z",
            size_vram: 0,
            context_length: 8192,
          },
        ],
      }),
    },
  },
  {
    id: "ollamaShow",
    isTolerant: true,
    dialect,
    method: "post",
    path: "/api/show",
    tag: "models",
    summary: "What is known of a model, as Ollama shows it.",
    body: { schema: OllamaShowBody, example: { model } },
    answers: {
      200: json("The model.", OllamaModel, {
        modelfile: `FROM ${model}\n`,
        parameters: "",
        template: "",
        details,
        model_info: { "general.architecture": "mlx", "mlx.context_length": 8192 },
        capabilities: ["completion", "tools"],
        modified_at: at,
      }),
    },
    errors: [404],
  },
  {
    id: "ollamaVersion",
    dialect,
    method: "get",
    path: "/api/version",
    tag: "probes",
    summary: "Which Ollama's API this is, and which server.",
    answers: {
      200: json("Both versions.", OllamaVersion, { version: ollamaVersion, mlx_serving: version }),
    },
  },
];
