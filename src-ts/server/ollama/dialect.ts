/** What Ollama's API has of its own at every answer: an error is a text. */
import type { OllamaError } from "../../protocol/ollama.js";
import { type Dialect, openAiDialect } from "../errors.js";

export const ollamaDialect: Dialect = {
  ...openAiDialect,
  errorBody: ({ message }): OllamaError => ({ error: message }),
};
