/**
 * Codex CLI: a provider in `-c` flags, which count for one run. It speaks the Responses API, over a WebSocket: there
 * each turn sends what is new and goes on from the turn before.
 */
import type { Agent } from "./agent.js";

const provider = "mlx-serving";
const keyVariable = "CODEX_MLX_SERVING_KEY";

/** Values of `-c` are TOML, whose strings and keys may be written as JSON's. */
const setting = (key: string, value: string | number | boolean) => [
  "-c",
  `${key}=${JSON.stringify(value)}`,
];

export const codex: Agent = {
  name: "codex",
  title: "Codex",
  executable: "codex",
  install: "npm install -g @openai/codex",
  prepare: ({ url, model, apiKey, contextTokens }) => ({
    args: [
      ...setting("model_provider", provider),
      ...setting(`model_providers.${provider}.name`, provider),
      ...setting(`model_providers.${provider}.base_url`, `${url}/v1`),
      ...setting(`model_providers.${provider}.wire_api`, "responses"),
      ...setting(`model_providers.${provider}.supports_websockets`, true),
      ...(apiKey === undefined ? [] : setting(`model_providers.${provider}.env_key`, keyVariable)),
      // As `--model` it would not reach subcommands such as `exec`.
      ...setting("model", model),
      ...(contextTokens === undefined ? [] : setting("model_context_window", contextTokens)),
    ],
    env: { [keyVariable]: apiKey },
  }),
};
