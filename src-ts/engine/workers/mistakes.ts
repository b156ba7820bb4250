/** What a worker said that can't be true, in words for people. */
import type { Mistake } from "../../machines/Orchestrator.js";

export function describeMistake(mistake: Mistake): string {
  switch (mistake.kind) {
    case "illegal": {
      const { event, state, requestId } = mistake;
      const whose = requestId === undefined ? "" : ` of request ${requestId}`;
      return `${event}${whose} while ${state}`;
    }
    case "foreignSlot":
      return `${mistake.message}: not its slot`;
    case "tooManyTokens": {
      const { slot, index, tokensMax } = mistake;
      return `step: token ${index} of slot ${slot} where ${tokensMax} were asked for`;
    }
    case "wrongToken": {
      const { slot, index, expected } = mistake;
      return `step: token ${index} of slot ${slot} where ${expected} was next`;
    }
  }
}
