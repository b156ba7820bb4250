/** The body of a response as users write it, and as it goes to the server: schemas there are JSON schemas. */
import type { CreateResponseBody, Priority } from "../protocol/index.js";
import { type Format, wireFormat } from "./formats.js";
import { type ToolDefinition, wireTools } from "./tools.js";

type WireText = NonNullable<CreateResponseBody["text"]>;

/**
 * The body of `POST /v1/responses`; tools and formats may have schemas of Zod or its like.
 * `generate: false` computes its prompt for the next one, and nothing else.
 */
export type ResponseRequest<F extends Format = Format> = Omit<
  CreateResponseBody,
  "tools" | "text"
> & {
  tools?: readonly ToolDefinition[] | null | undefined;
  text?: (Omit<WireText, "format"> & { format?: F }) | null | undefined;
  generate?: boolean | undefined;
};

export interface RespondOptions {
  /** Cancels the response on the server and ends the stream with an AbortError. */
  signal?: AbortSignal | undefined;
  /** Responses of one lane run one after another. Default: a lane of its own. */
  lane?: string | undefined;
  /** After so many ms the server ends it with `deadline_exceeded`; time without a connection counts. */
  deadlineMs?: number | undefined;
  priority?: Priority | undefined;
  /**
   * The same key and body attach to the same response; with another body it is refused (409). Default: one
   * of its own, so that it can be asked for again after a reconnect; none where `notices` is false.
   */
  idempotencyKey?: string | undefined;
}

/** Throws DefinitionError. What isn't there isn't sent. */
export function wireBody({ tools, text, ...body }: ResponseRequest): object {
  return {
    ...body,
    ...(tools !== undefined && { tools: tools && wireTools(tools) }),
    ...(text !== undefined && { text: text && { ...text, format: wireFormat(text.format) } }),
  };
}
