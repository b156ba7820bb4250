/** What becomes of a `response.steer`: nothing yet, said in the words that its clients know. */
import type { Engine } from "../../engine/api.js";
import {
  type ResponseSteer,
  type SteerErrorCode,
  type SteerFailedEvent,
  SteerInput,
} from "../../protocol/events.js";

const reasons: Record<SteerErrorCode, string> = {
  response_not_found: "There is no such response.",
  invalid_input: "input is a string or a list of messages of the user.",
  response_already_completed: "The response has ended. Send the input with the next one.",
  steering_not_supported:
    "This server does not steer a running response. Send the input with the next one.",
};

/** All but what is the socket's: the number and the lane. */
export function steerFailed(
  engine: Engine,
  owner: string,
  { previous_response_id, input, event_id }: ResponseSteer,
): Omit<SteerFailedEvent, "sequence_number" | "stream_id"> {
  const code = reasonFor(engine, owner, previous_response_id, input);
  return {
    type: "response.steer.failed",
    steer: { previous_response_id, input },
    error: { type: "invalid_request_error", code, message: reasons[code] },
    ...(event_id !== undefined && { event_id }),
  };
}

function reasonFor(engine: Engine, owner: string, id: string, input: unknown): SteerErrorCode {
  if (!SteerInput.safeParse(input).success) return "invalid_input";
  const response = engine.get(id, owner);
  if (response === undefined) return "response_not_found";
  return response.ending === undefined ? "steering_not_supported" : "response_already_completed";
}
