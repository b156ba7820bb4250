/** Conversations as files: what is exported, and what of a file can be imported. Pure. */
import {
  type Answer,
  type Conversation,
  defaultSettings,
  isRunning,
  type Message,
  newAnswer,
  pathOf,
  type Settings,
} from "./conversation.js";

export const formatName = "mlx-serving.conversations";
export const formatVersion = 1;

export function exported(conversations: readonly Conversation[]): string {
  return JSON.stringify({ format: formatName, version: formatVersion, conversations }, null, 1);
}

/** The path that is shown, to be read. */
export function asMarkdown(
  conversation: Conversation,
  names: { user: string; assistant: string },
): string {
  const parts = pathOf(conversation).map(
    ({ role, text, attachments }) =>
      `## ${names[role]}\n\n${attachments.map(({ name }) => `- ${name}\n`).join("")}${text}`,
  );
  return `# ${conversation.title}\n\n${parts.join("\n\n")}\n`;
}

/** Why a file can't be imported, and where in it. */
export class ImportError extends Error {
  constructor(
    readonly problem: "notJson" | "otherFormat" | "newerVersion" | "wrongValue",
    readonly place = "",
  ) {
    super(`${problem} ${place}`);
  }
}

/** Throws ImportError. An answer that was on its way is stopped: its server is not this one's affair. */
export function imported(text: string): Conversation[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new ImportError("notJson");
  }
  const { format, version, conversations } = record(file, "");
  if (format !== formatName || !Array.isArray(conversations)) throw new ImportError("otherFormat");
  if (typeof version !== "number" || version > formatVersion) throw new ImportError("newerVersion");
  return conversations.map((one, i) => conversationOf(one, `conversations[${i}]`));
}

function conversationOf(value: unknown, place: string): Conversation {
  const given = record(value, place);
  const entries = Object.values(record(given.messages, `${place}.messages`)).map((one, i) =>
    messageOf(one, `${place}.messages[${i}]`),
  );
  const messages = Object.fromEntries(entries.map((one) => [one.id, one]));
  for (const { id, parent } of entries)
    if (parent !== null && !Object.hasOwn(messages, parent))
      throw new ImportError("wrongValue", `${place}.messages.${id}.parent`);
  refuseCircles(messages, place);
  return {
    id: string(given.id, `${place}.id`),
    title: string(given.title, `${place}.title`),
    createdAt: number(given.createdAt, `${place}.createdAt`),
    updatedAt: number(given.updatedAt, `${place}.updatedAt`),
    settings: settingsOf(given.settings, `${place}.settings`),
    messages,
    chosen: Object.fromEntries(
      Object.entries(record(given.chosen ?? {}, `${place}.chosen`)).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      ),
    ),
  };
}

function refuseCircles(messages: Record<string, Message>, place: string): void {
  for (const start of Object.values(messages)) {
    let steps = 0;
    for (let at = start.parent; at !== null; at = messages[at]?.parent ?? null)
      if (++steps > Object.keys(messages).length)
        throw new ImportError("wrongValue", `${place}.messages.${start.id}.parent`);
  }
}

function messageOf(value: unknown, place: string): Message {
  const given = record(value, place);
  const { role, parent } = given;
  if (role !== "user" && role !== "assistant") throw new ImportError("wrongValue", `${place}.role`);
  if (parent !== null && typeof parent !== "string")
    throw new ImportError("wrongValue", `${place}.parent`);
  const attachments = Array.isArray(given.attachments) ? given.attachments : [];
  return {
    id: string(given.id, `${place}.id`),
    parent,
    role,
    at: number(given.at, `${place}.at`),
    text: string(given.text, `${place}.text`),
    attachments: attachments.map((one, i) => {
      const { name, text } = record(one, `${place}.attachments[${i}]`);
      return {
        name: string(name, `${place}.attachments[${i}].name`),
        text: string(text, `${place}.attachments[${i}].text`),
      };
    }),
    answer: role === "assistant" ? answerOf(given.answer, `${place}.answer`) : undefined,
  };
}

function answerOf(value: unknown, place: string): Answer {
  const given = record(value, place) as Partial<Answer>;
  const answer: Answer = { ...newAnswer(), ...given };
  string(answer.reasoning, `${place}.reasoning`);
  if (!Array.isArray(answer.calls)) throw new ImportError("wrongValue", `${place}.calls`);
  for (const [i, call] of answer.calls.entries()) {
    string(call?.callId, `${place}.calls[${i}].callId`);
    string(call.name, `${place}.calls[${i}].name`);
    string(call.arguments, `${place}.calls[${i}].arguments`);
  }
  record(answer.results, `${place}.results`);
  return isRunning(answer) ? { ...answer, status: "stopped" } : answer;
}

function settingsOf(value: unknown, place: string): Settings {
  const given = record(value ?? {}, place);
  const known = Object.entries(given).filter(
    ([name, setting]) =>
      name in defaultSettings &&
      (setting === null || typeof setting === "string" || typeof setting === "number"),
  );
  return { ...defaultSettings, ...Object.fromEntries(known) };
}

function record(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ImportError(place === "" ? "otherFormat" : "wrongValue", place);
  return value as Record<string, unknown>;
}

function string(value: unknown, place: string): string {
  if (typeof value !== "string") throw new ImportError("wrongValue", place);
  return value;
}

function number(value: unknown, place: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new ImportError("wrongValue", place);
  return value;
}
