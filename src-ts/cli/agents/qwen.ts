/** Qwen Code: flags, and the key in a variable, where no list of processes shows it. It speaks chat completions. */
import { type Agent, noKey } from "./agent.js";

export const qwen: Agent = {
  name: "qwen",
  title: "Qwen Code",
  executable: "qwen",
  install: "npm install -g @qwen-code/qwen-code",
  prepare: ({ url, model, apiKey }) => ({
    args: ["--auth-type", "openai", "--openai-base-url", `${url}/v1`, "--model", model],
    env: {
      OPENAI_API_KEY: apiKey ?? noKey,
      OPENAI_BASE_URL: `${url}/v1`,
      OPENAI_MODEL: model,
    },
  }),
};
