/**
 * Conversations as data: trees of messages, of which one path is shown. Pure: every change is a new value. Owns
 * branches, and how two copies of one conversation become one. Knows no storage and no server.
 */

export interface Attachment {
  name: string;
  text: string;
}

export interface Call {
  callId: string;
  name: string;
  arguments: string;
  /** False: it was broken off. */
  complete: boolean;
}

export interface Usage {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
}

/** `waiting`: nothing has come yet. `stopped`: by its reader. `cut`: at the limit of tokens. */
export type AnswerStatus = "waiting" | "streaming" | "done" | "stopped" | "cut" | "failed";

export interface Answer {
  status: AnswerStatus;
  responseId?: string | undefined;
  model?: string | undefined;
  reasoning: string;
  calls: Call[];
  /** What the calls came to, by their ids. */
  results: Record<string, string>;
  usage?: Usage | undefined;
  /** Milliseconds to its first token, and from it to the last; unknown where another page load saw it begin. */
  ttftMs?: number | undefined;
  decodeMs?: number | undefined;
  error?: { code: string; message: string } | undefined;
  /** How often it went on with another worker. */
  migrations: number;
  /** How often it was asked again, since the server had forgotten it. */
  repeats: number;
}

export interface Message {
  id: string;
  /** Null for the first ones. */
  parent: string | null;
  role: "user" | "assistant";
  at: number;
  text: string;
  attachments: Attachment[];
  /** Of the assistant's alone. */
  answer?: Answer | undefined;
}

export interface Settings {
  /** Null: the server's default. */
  model: string | null;
  system: string;
  temperature: number | null;
  topP: number | null;
  topK: number | null;
  minP: number | null;
  repetitionPenalty: number | null;
  maxTokens: number | null;
  seed: number | null;
  reasoning: "default" | "off";
  /** Function tools, as JSON. */
  tools: string;
}

export const defaultSettings: Settings = {
  model: null,
  system: "",
  temperature: null,
  topP: null,
  topK: null,
  minP: null,
  repetitionPenalty: null,
  maxTokens: null,
  seed: null,
  reasoning: "default",
  tools: "",
};

export interface Conversation {
  id: string;
  title: string;
  createdAt: number;
  updatedAt: number;
  settings: Settings;
  messages: Record<string, Message>;
  /** Which child of a message is shown; of the first messages under `""`. */
  chosen: Record<string, string>;
}

const titleCharsMax = 60;
const rootKey = "";

export const newId = (): string => crypto.randomUUID();

export function newConversation(now: number, settings: Settings = defaultSettings): Conversation {
  const id = newId();
  return { id, title: "", createdAt: now, updatedAt: now, settings, messages: {}, chosen: {} };
}

export function newAnswer(): Answer {
  return { status: "waiting", reasoning: "", calls: [], results: {}, migrations: 0, repeats: 0 };
}

export const isRunning = ({ status }: Answer): boolean =>
  status === "waiting" || status === "streaming";

const keyOf = (parent: string | null): string => parent ?? rootKey;

/** The children of a message, oldest first; of null the first messages. */
export function childrenOf({ messages }: Conversation, parent: string | null): Message[] {
  return Object.values(messages)
    .filter((message) => message.parent === parent)
    .sort((a, b) => a.at - b.at || a.id.localeCompare(b.id));
}

/** What is shown, from the first message on. */
export function pathOf(conversation: Conversation): Message[] {
  const byParent = new Map<string | null, Message[]>();
  for (const message of Object.values(conversation.messages)) {
    const children = byParent.get(message.parent);
    if (children === undefined) byParent.set(message.parent, [message]);
    else children.push(message);
  }
  const path: Message[] = [];
  let parent: string | null = null;
  for (;;) {
    const children: Message[] | undefined = byParent.get(parent);
    if (children === undefined) return path;
    const wanted = conversation.chosen[keyOf(parent)];
    const next: Message =
      children.find(({ id }) => id === wanted) ?? children.reduce((a, b) => (b.at >= a.at ? b : a));
    path.push(next);
    parent = next.id;
  }
}

/** From the first message to this one, whatever is shown. */
export function pathTo({ messages }: Conversation, id: string): Message[] {
  const path: Message[] = [];
  for (
    let at = messages[id];
    at !== undefined;
    at = at.parent === null ? undefined : messages[at.parent]
  )
    path.unshift(at);
  return path;
}

/** With one more message, which is shown from now on. */
export function withMessage(conversation: Conversation, message: Message): Conversation {
  const { messages, chosen, title } = conversation;
  const first = title === "" && message.role === "user" ? titleOf(message) : title;
  return {
    ...conversation,
    title: first,
    updatedAt: Math.max(conversation.updatedAt, message.at),
    messages: { ...messages, [message.id]: message },
    chosen: { ...chosen, [keyOf(message.parent)]: message.id },
  };
}

export function withChanged(
  conversation: Conversation,
  id: string,
  change: Partial<Message>,
): Conversation {
  const message = conversation.messages[id];
  if (message === undefined) return conversation;
  const messages = { ...conversation.messages, [id]: { ...message, ...change } };
  return { ...conversation, messages };
}

/** Shows the branch that this message begins. */
export function choosing(conversation: Conversation, id: string): Conversation {
  const message = conversation.messages[id];
  if (message === undefined) return conversation;
  const chosen = { ...conversation.chosen, [keyOf(message.parent)]: id };
  return { ...conversation, chosen };
}

/** A conversation of its own that begins like this one, up to and with this message. */
export function forkedAt(conversation: Conversation, id: string, now: number): Conversation {
  const path = pathTo(conversation, id);
  const messages = Object.fromEntries(path.map((message) => [message.id, message]));
  const chosen = Object.fromEntries(path.map(({ id: own, parent }) => [keyOf(parent), own]));
  return { ...conversation, id: newId(), createdAt: now, updatedAt: now, messages, chosen };
}

export function titleOf({ text, attachments }: Pick<Message, "text" | "attachments">): string {
  const line = text.trim().split("\n", 1)[0]?.trim() || attachments[0]?.name || "";
  return line.length > titleCharsMax ? `${line.slice(0, titleCharsMax - 1).trimEnd()}…` : line;
}

/** Two copies of one conversation, as two tabs may hold them: no message of either is lost. */
export function merged(kept: Conversation, mine: Conversation): Conversation {
  const messages = { ...kept.messages };
  for (const message of Object.values(mine.messages)) {
    const other = messages[message.id];
    messages[message.id] = other === undefined ? message : further(other, message);
  }
  const newer = mine.updatedAt >= kept.updatedAt ? mine : kept;
  const older = newer === mine ? kept : mine;
  return { ...newer, messages, chosen: { ...older.chosen, ...newer.chosen } };
}

/** Of two states of one message that which has come further. */
function further(a: Message, b: Message): Message {
  if (a.answer === undefined || b.answer === undefined) return b;
  const [endedA, endedB] = [!isRunning(a.answer), !isRunning(b.answer)];
  if (endedA !== endedB) return endedA ? a : b;
  if (endedA)
    return Object.keys(a.answer.results).length > Object.keys(b.answer.results).length ? a : b;
  return b.text.length >= a.text.length ? b : a;
}
