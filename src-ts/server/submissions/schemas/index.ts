/** JSON schemas of clients: chats, responses, tools and whoever else has one are kept to them alike. */
import * as limits from "../../../protocol/limits.js";
import { hasFiniteAnswer, isCircular } from "./finite.js";
import { isFields } from "./parts.js";
import { type Path, wrong } from "./refusal.js";
import { Walk } from "./walk.js";

/** Any object: what `json_object` asks for. */
export const anyObject: string = JSON.stringify({ type: "object" });

/**
 * The schema as a worker gets it: every answer that its grammar lets through is valid by the client's.
 * Throws 400, with the path of what can't be enforced, or can't be meant. `path`: the schema's in the body.
 */
export function enforceable(schema: unknown, path: Path): string {
  if (!isFields(schema)) wrong(path, "must be an object");
  const whole = new Walk(schema, path).whole();
  if (isCircular(whole)) wrong(path, "refers to itself in a circle");
  if (!hasFiniteAnswer(whole))
    wrong(path, "has no answer that ends: something in it requires itself");
  const text = JSON.stringify(whole);
  if (text.length > limits.schemaCharsMax)
    wrong(path, `must have at most ${limits.schemaCharsMax} characters as JSON`);
  return text;
}
