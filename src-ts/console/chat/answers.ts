/**
 * Answers on their way: asks the server, follows what it says, and keeps it. An answer outlives its connection (the
 * client's doing), its page (by its response id, or by the key under which it was asked) and, where the server has
 * forgotten it, its server: then it is asked again.
 */
import { type Signal, signal } from "@preact/signals";
import { isClientError, type ResponseStream } from "../../client/index.js";
import { client, onMigrated } from "../server/socket.js";
import { t } from "../strings.js";
import { type Draft, newDraft, withEvent, withFailure } from "./answer.js";
import {
  type Answer,
  type Attachment,
  type Conversation,
  choosing,
  isRunning,
  type Message,
  newAnswer,
  newId,
  pathTo,
  withMessage,
} from "./conversation.js";
import { requestOf } from "./request.js";
import { change, changeMessage, conversationOf, conversations } from "./store.js";

/** An answer is shown so often while it grows. */
const showMs = 50;
/** And so often kept, for a page that ends without a word. */
const keepMs = 1_000;
const repeatsMax = 3;
/** Between two attempts to reach a server that is not there. */
const retryMs = 1_500;

interface Following {
  conversationId: string;
  messageId: string;
  draft: Draft;
  shown: Signal<Draft>;
  stream: ResponseStream<unknown> | undefined;
  stopping: boolean;
  showing: ReturnType<typeof setTimeout> | undefined;
  keptAt: number;
}

const following = signal<ReadonlyMap<string, Following>>(new Map());

/** Of an answer that this page follows: how far it is. */
export const draftOf = (messageId: string): Draft | undefined =>
  following.value.get(messageId)?.shown.value;

export interface Said {
  text: string;
  attachments: Attachment[];
}

/** A user's message, and its answer. `parent`: the message before it. */
export function say(conversationId: string, parent: string | null, said: Said): void {
  const message: Message = { id: newId(), parent, role: "user", at: Date.now(), ...said };
  change(conversationId, (conversation) => withMessage(conversation, message));
  answer(conversationId, message.id);
}

/** One more answer to this message. */
export function answer(conversationId: string, parent: string): void {
  const message: Message = {
    ...{ id: newId(), parent, role: "assistant", at: Date.now(), text: "" },
    attachments: [],
    answer: newAnswer(),
  };
  change(conversationId, (conversation) => withMessage(conversation, message));
  void follow(conversationId, message.id, performance.now());
}

/** What a tool came to; once all calls of the answer have a result the model goes on. */
export function giveResult(
  conversationId: string,
  message: Message,
  callId: string,
  output: string,
): void {
  const { answer: answered } = message;
  if (answered === undefined) return;
  const results = { ...answered.results, [callId]: output };
  changeMessage(conversationId, message.id, { answer: { ...answered, results } });
  const open = answered.calls.filter((call) => call.complete && results[call.callId] === undefined);
  if (open.length === 0) answer(conversationId, message.id);
}

export function stop(messageId: string): void {
  const one = following.peek().get(messageId);
  if (one === undefined) return;
  one.stopping = true;
  if (one.stream !== undefined) one.stream.cancel();
  else end(one, { ...one.draft.answer, status: "stopped" });
}

/** Takes up what was on its way when its page ended, or is on its way in another tab. */
export function takeUp(conversation: Conversation): void {
  for (const { id, answer: answered } of Object.values(conversation.messages))
    if (answered !== undefined && isRunning(answered) && !following.peek().has(id))
      void follow(conversation.id, id, undefined);
}

export function takeUpAll(): void {
  for (const conversation of conversations.peek().values()) takeUp(conversation);
}

export function chooseBranch(conversationId: string, messageId: string): void {
  change(conversationId, (conversation) => choosing(conversation, messageId));
}

onMigrated((responseId) => {
  for (const one of following.peek().values())
    if (one.draft.answer.responseId === responseId) {
      const { migrations } = one.draft.answer;
      step(one, { ...one.draft, answer: { ...one.draft.answer, migrations: migrations + 1 } });
    }
});

async function follow(
  conversationId: string,
  messageId: string,
  askedAt: number | undefined,
): Promise<void> {
  const message = conversationOf(conversationId)?.messages[messageId];
  if (message?.answer === undefined) return;
  const draft = { ...newDraft(askedAt, message.answer), text: message.text };
  const one: Following = {
    ...{ conversationId, messageId, draft, shown: signal(draft), stream: undefined },
    ...{ stopping: false, showing: undefined, keptAt: 0 },
  };
  following.value = new Map(following.peek()).set(messageId, one);
  for (;;) {
    try {
      if (await attempt(one, message)) return;
    } catch (error) {
      if (await isFinal(one, error)) return;
    }
  }
}

/** True once it has ended. */
async function attempt(one: Following, message: Message): Promise<boolean> {
  const connected = await client();
  if (one.stopping) return true;
  const { responseId, repeats } = one.draft.answer;
  const stream =
    responseId === undefined
      ? connected.respond(requestFor(one, message) as never, {
          // The same again attaches to the same response.
          idempotencyKey: repeats === 0 ? message.id : `${message.id}:${repeats}`,
          priority: "interactive",
        })
      : connected.resume(responseId);
  one.stream = stream;
  // What is replayed is told from the start.
  let fresh = newDraft(one.draft.askedAt, one.draft.answer);
  for await (const event of stream) {
    fresh = { ...fresh, answer: { ...fresh.answer, migrations: one.draft.answer.migrations } };
    fresh = withEvent(fresh, event, performance.now());
    // Until a replay has caught up, what was there stays to be seen.
    const isBehind = fresh.text.length < one.draft.text.length && isRunning(fresh.answer);
    step(one, isBehind ? { ...fresh, text: one.draft.text } : fresh);
    if (event.type === "response.created") keep(one);
    if (!isRunning(fresh.answer)) {
      end(one, fresh.answer);
      return true;
    }
  }
  return false;
}

function requestFor(one: Following, { parent }: Message) {
  const conversation = conversationOf(one.conversationId);
  if (conversation === undefined || parent === null) throw new Error(t.chat.deleted);
  return requestOf(pathTo(conversation, parent), conversation.settings);
}

/** Whether there is no point in trying again; if there is, it has been made ready. */
async function isFinal(one: Following, error: unknown): Promise<boolean> {
  const { code, status } = describe(error);
  const { answer: answered } = one.draft;
  if (one.stopping) {
    end(one, { ...answered, status: "stopped" });
    return true;
  }
  const isForgotten =
    code === "response_lost" ||
    (code === "response_not_found" && answered.responseId !== undefined);
  if (isForgotten && answered.repeats < repeatsMax) {
    const { responseId: _, ...rest } = answered;
    step(one, {
      ...newDraft(performance.now()),
      text: "",
      answer: { ...rest, status: "waiting", repeats: answered.repeats + 1 },
    });
    keep(one);
    return false;
  }
  // Nobody there, no room for a socket, or signed out: those pass.
  if (unreachable.has(code) && (status === undefined || status >= 500)) {
    await new Promise((resolve) => setTimeout(resolve, retryMs));
    if (!one.stopping) return false;
  }
  const said = { code, message: describe(error).message };
  end(one, withFailure(one.draft, said).answer);
  return true;
}

const unreachable = new Set([
  "connection_refused",
  "connect_timeout",
  "no_ticket",
  "handshake_refused",
  "connection_lost",
  "client_closed",
]);

function describe(error: unknown): { code: string; message: string; status?: number | undefined } {
  if (isClientError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return { code: "invalid_request", message };
}

function step(one: Following, draft: Draft): void {
  one.draft = draft;
  one.showing ??= setTimeout(() => {
    one.showing = undefined;
    one.shown.value = one.draft;
    if (performance.now() - one.keptAt > keepMs) keep(one);
  }, showMs);
}

function keep(one: Following): void {
  const { text, answer: answered } = one.draft;
  one.keptAt = performance.now();
  changeMessage(one.conversationId, one.messageId, { text, answer: answered });
}

function end(one: Following, answered: Answer): void {
  clearTimeout(one.showing);
  const { conversationId, messageId } = one;
  changeMessage(conversationId, messageId, { text: one.draft.text, answer: answered });
  const rest = new Map(following.peek());
  rest.delete(messageId);
  following.value = rest;
}
