/** What a request goes on from, found by its `previous_response_id`, for both transports of the Responses API. */
import { packTokens } from "../encoding/tokens.js";
import type { Conversation, Engine, Response } from "../engine/api.js";
import { conversation } from "../engine/conversation.js";
import { failure } from "../failures.js";
import { isResponseEcho } from "./render/echo.js";
import { responseEndingOf } from "./render/endings.js";
import { saidItems } from "./render/given-items.js";
import { isReadable, type Predecessor } from "./submissions/conversation.js";

/** What a connection has beside what is stored. */
export interface Connection {
  /** A response that it remembers. */
  remembered(id: string): Predecessor | undefined;
  /** Made on it, and not read to its end. */
  isHere(id: string): boolean;
}

const param = "previous_response_id";

/** Undefined: it begins by itself. Throws 400 where there is nothing to go on from. */
export function predecessorOf(
  engine: Engine,
  owner: string,
  id: string | null | undefined,
  connection?: Connection,
): Predecessor | undefined {
  if (id == null) return undefined;
  const remembered = connection?.remembered(id);
  if (remembered !== undefined) return remembered;
  const response = engine.get(id, owner);
  if (response === undefined || !isResponseEcho(response.echo)) throw notFound();
  if (!response.store && !connection?.isHere(id)) throw notFound();
  return asPredecessor(response);
}

/** Of a response that has ended. Throws 400 if it hasn't, or has nothing to go on from. */
export function asPredecessor(response: Response): Predecessor {
  const { id, ending, promptTokens, tokens } = response;
  if (ending === undefined) throw failure("previous_response_in_progress", { id, param });
  if (responseEndingOf(ending).status === "failed")
    throw failure("previous_response_failed", { id, param });
  const whole = new Uint32Array(promptTokens.length + tokens.length);
  whole.set(promptTokens);
  whole.set(tokens, promptTokens.length);
  return { conversation: whatWasSaid(response), tokens: packTokens(whole) };
}

/** Of each response once, so that all who go on from it share it. */
const said = new WeakMap<Response, Conversation>();

function whatWasSaid(response: Response): Conversation {
  const known = said.get(response);
  if (known !== undefined) return known;
  const { id } = response;
  const before = response.conversation;
  if (before === undefined || !isReadable(before)) {
    const message = `Response ${id} was stored by another version, in a way that this one can't go on from.`;
    throw failure("previous_response_not_found", { message, param });
  }
  const whole = conversation(saidItems(response), before.before);
  said.set(response, whole);
  return whole;
}

const notFound = () => failure("previous_response_not_found", { param });
