/** What of a request the object of its response repeats. Owns its form in the header of a log, where folders keep it. */
import type { ResponseObject } from "../../protocol/responses.js";

/** What of the request the object repeats; kept in the log's header. */
export interface ResponseEcho {
  kind: "response";
  /** Absent in what versions before 1.1 have stored. */
  background?: boolean;
  instructions: string | null;
  max_output_tokens: number | null;
  max_tool_calls: number | null;
  metadata: Record<string, string>;
  parallel_tool_calls: boolean;
  /** Absent in what versions before 1.3 have stored. */
  previous_response_id?: string | null;
  prompt_cache_key: string | null;
  safety_identifier: string | null;
  /** Absent, like `text` and `tools`, in what versions before 1.2 have stored. */
  reasoning?: ResponseObject["reasoning"];
  text?: ResponseObject["text"];
  tool_choice: ResponseObject["tool_choice"];
  tools?: ResponseObject["tools"];
  top_logprobs: number;
  user: string | null;
}

/** Chat and completions are in the same log, but they are no responses of this API. */
export function isResponseEcho(echo: unknown): echo is ResponseEcho {
  return typeof echo === "object" && echo !== null && "kind" in echo && echo.kind === "response";
}
