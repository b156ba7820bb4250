/** A response as the object of the Responses API, at any point of its log. */
import type { Response } from "../../engine/api.js";
import type { OutputMessage, ResponseObject, ResponseStatus } from "../../protocol/responses.js";
import { responseEndingOf } from "./endings.js";
import { outputItems } from "./output-items.js";
import { responseUsage, usageOf } from "./usage.js";

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
  prompt_cache_key: string | null;
  safety_identifier: string | null;
  /** Absent in what versions before 1.1 have stored. */
  text?: ResponseObject["text"];
  tool_choice: "auto" | "none";
  top_logprobs: number;
  user: string | null;
}

/** Chat and completions are in the same log, but they are no responses of this API. */
export function isResponseEcho(echo: unknown): echo is ResponseEcho {
  return typeof echo === "object" && echo !== null && "kind" in echo && echo.kind === "response";
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

/** Before it is in progress one in the background is queued from its first event on. */
export function isInBackground({ echo }: Response): boolean {
  return isResponseEcho(echo) && (echo.background ?? false);
}

/** As it was when it had no output yet. */
export function earlyObject(response: Response, status: "queued" | "in_progress"): ResponseObject {
  return assemble(response, { status, output: [] });
}

/** What says how far it has come stands at the beginning of a log. */
const earlyEntries = 8;

/** As it is now. */
export function responseObject(response: Response): ResponseObject {
  const output = outputItems(response);
  const { ending } = response;
  if (ending !== undefined) return endedObject(response, output);
  const kinds = response.entries.slice(0, earlyEntries).map(({ kind }) => kind);
  const isQueued = isInBackground(response) || kinds.includes("queued");
  const isStarted = kinds.includes("inProgress");
  return assemble(response, { status: isQueued && !isStarted ? "queued" : "in_progress", output });
}

function endedObject(response: Response, output: OutputMessage[]): ResponseObject {
  const { status, incompleteDetails, error } = responseEndingOf(response.ending!);
  const last = response.entries.at(-1);
  const usage = usageOf(response);
  return {
    ...assemble(response, { status, output }),
    completed_at: last?.kind === "ended" && status === "completed" ? seconds(last.endedAt) : null,
    incomplete_details: incompleteDetails,
    error,
    usage: usage === undefined ? null : responseUsage(usage),
  };
}

interface State {
  status: ResponseStatus;
  output: OutputMessage[];
}

function assemble(response: Response, { status, output }: State): ResponseObject {
  const { echo } = response;
  if (!isResponseEcho(echo)) throw new TypeError(`${response.id} is no response of this API`);
  const { kind: _kind, ...repeated } = echo;
  return {
    id: response.id,
    object: "response",
    created_at: seconds(response.createdAt),
    completed_at: null,
    status,
    error: null,
    incomplete_details: null,
    model: response.model,
    output,
    usage: null,
    background: false,
    frequency_penalty: response.sampling.frequencyPenalty,
    presence_penalty: response.sampling.presencePenalty,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: "default",
    store: response.store,
    temperature: response.sampling.temperature,
    top_p: response.sampling.topP,
    text: { format: { type: "text" }, verbosity: "medium" },
    tools: [],
    truncation: "disabled",
    ...repeated,
  };
}
