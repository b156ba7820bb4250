/** POST /v1/completions with `echo`: the prompt before its answer, and how likely each of its tokens was. */
import type { FastifyReply } from "fastify";
import type { Response } from "../../engine/api.js";
import type { Completion, CompletionBody } from "../../protocol/completions.js";
import type { ServerContext } from "../context.js";
import { withParam } from "../errors.js";
import type { HttpCaller } from "../http/caller.js";
import { goneSignal } from "../http/client-gone.js";
import type { EchoedPrompt } from "../render/chat-chunks.js";
import { finishReasonOf, stoppedBy } from "../render/endings.js";
import { completionLogprobs } from "../render/logprobs.js";
import { completionUsage } from "../render/usage.js";
import { callerFields } from "../submissions/caller.js";
import { completionSubmissions, scoreSubmissions } from "../submissions/completions.js";
import { promptInputs } from "../submissions/prompts.js";
import { createdSeconds, untilAllEnded } from "./choices.js";
import { submitAll } from "./submit-all.js";

export async function echoCompletion(
  context: ServerContext,
  caller: HttpCaller,
  completion: CompletionBody,
  reply: FastifyReply,
): Promise<Completion> {
  const { engine } = context;
  const gone = goneSignal(reply);
  const scoring = scoreSubmissions(completion, caller);
  // Who wants no token has all of it from the scores.
  const generates = completion.max_tokens !== 0 || scoring.length === 0;
  const perPrompt = generates ? (completion.n ?? 1) : 1;
  const generating = generates ? completionSubmissions(completion, caller) : [];
  try {
    const prompts = await promptTexts(context, caller, completion, gone);
    // Of each prompt its choices, then its scores: what stands together counts the prompt once.
    const choiceCount = generates ? perPrompt : 0;
    const size = choiceCount + (scoring.length > 0 ? 1 : 0);
    const asked = prompts.flatMap((_, i) => [
      ...generating.slice(i * choiceCount, (i + 1) * choiceCount),
      ...scoring.slice(i, i + 1),
    ]);
    const responses = await submitAll(engine, asked, size, gone);
    caller.lease?.release();
    await untilAllEnded(responses, gone);
    const scores = responses.filter((_, i) => i % size >= choiceCount);
    const choices = generates ? responses.filter((_, i) => i % size < choiceCount) : scores;
    return shown(completion, { prompts, scores, choices, perPrompt });
  } catch (error) {
    throw withParam(error, "input", "prompt");
  } finally {
    caller.lease?.release();
  }
}

/**
 * The prompts of a stream, each of which is to come before its answers. What is known of their tokens is asked for
 * first: the first piece of an answer has it.
 */
export async function echoedPrompts(
  context: ServerContext,
  caller: HttpCaller,
  completion: CompletionBody,
  reply: FastifyReply,
): Promise<EchoedPrompt[]> {
  const gone = goneSignal(reply);
  try {
    const texts = await promptTexts(context, caller, completion, gone);
    const scoring = scoreSubmissions(completion, caller);
    if (scoring.length === 0) return texts.map((text) => ({ text }));
    const scores = await submitAll(context.engine, scoring, 1, gone);
    await untilAllEnded(scores, gone);
    return texts.map((text, i) => ({ text, logprobs: scores[i]?.reading?.logprobs }));
  } catch (error) {
    caller.lease?.release();
    throw withParam(error, "input", "prompt");
  }
}

/** What is echoed: a text as it came, of tokens what they say. */
function promptTexts(
  { engine }: ServerContext,
  caller: HttpCaller,
  { prompt, model }: CompletionBody,
  gone: AbortSignal,
): Promise<string[]> {
  const spell = { text: true, pieces: false };
  return Promise.all(
    promptInputs(prompt).map(async (input) => {
      if (input.kind === "text") return input.text;
      const asked = { model: model ?? undefined, input, ...callerFields(caller), idPrefix: "tok" };
      return (await engine.tokenize(asked, spell, gone)).text ?? "";
    }),
  );
}

interface Echoed {
  prompts: readonly string[];
  /** One a prompt, or none. */
  scores: readonly Response[];
  choices: readonly Response[];
  perPrompt: number;
}

function shown(
  { max_tokens }: CompletionBody,
  { prompts, scores, choices, perPrompt }: Echoed,
): Completion {
  const [first] = choices;
  return {
    id: first!.id,
    object: "text_completion",
    created: createdSeconds(first!),
    model: first!.model,
    choices: choices.map((response, index) => {
      const place = Math.floor(index / perPrompt);
      const text = prompts[place]! + response.text;
      const score = scores[place]?.reading?.logprobs;
      return {
        index,
        text,
        logprobs: score ? completionLogprobs([...score, ...response.logprobs], text) : null,
        finish_reason: max_tokens === 0 ? "length" : finishReasonOf(response.ending!)!,
        ...stoppedBy(response.ending!),
      };
    }),
    usage: completionUsage(choices, perPrompt),
  };
}
