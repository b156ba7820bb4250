/** The conversations of this page: what is open, what changes, and when it is saved. */
import { computed, signal } from "@preact/signals";
import { t } from "../strings.js";
import { notify } from "../ui/notices.js";
import {
  type Conversation,
  defaultSettings,
  type Message,
  merged,
  newConversation,
  pathOf,
  type Settings,
  withChanged,
} from "./conversation.js";
import { ConversationStorage } from "./storage.js";

export const conversations = signal<ReadonlyMap<string, Conversation>>(new Map());
export const openId = signal<string | undefined>(undefined);
export const openConversation = computed(() =>
  openId.value === undefined ? undefined : conversations.value.get(openId.value),
);
export const openPath = computed(() =>
  openConversation.value === undefined ? [] : pathOf(openConversation.value),
);
/** False until what was kept is here. */
export const loaded = signal(false);
/** What the next conversation begins with. */
export const draftSettings = signal<Settings>(defaultSettings);

let storage: ConversationStorage | undefined;

export async function loadConversations(onChanged: (id: string) => void): Promise<void> {
  try {
    storage = await ConversationStorage.open();
    storage.listen({
      changed: (theirs) => {
        const mine = conversations.peek().get(theirs.id);
        put(mine === undefined ? theirs : merged(mine, theirs));
        onChanged(theirs.id);
      },
      deleted: remove,
    });
    conversations.value = new Map((await storage.all()).map((one) => [one.id, one]));
  } catch {
    notify(t.chat.notKept);
  }
  loaded.value = true;
}

/** Undefined once it is deleted. */
export const conversationOf = (id: string): Conversation | undefined =>
  conversations.peek().get(id);

export function begin(): Conversation {
  const conversation = newConversation(Date.now(), draftSettings.peek());
  put(conversation);
  return conversation;
}

/** Takes a new state of it, and saves it. */
export function change(id: string, by: (conversation: Conversation) => Conversation): void {
  const conversation = conversationOf(id);
  if (conversation === undefined) return;
  put(by(conversation));
  save(id);
}

export function changeMessage(id: string, messageId: string, by: Partial<Message>): void {
  change(id, (conversation) => withChanged(conversation, messageId, by));
}

export function add(conversation: Conversation): void {
  put(conversation);
  save(conversation.id);
}

export function deleteConversation(id: string): void {
  remove(id);
  storage?.delete(id).catch(notSaved);
}

export function deleteAll(): void {
  for (const id of conversations.peek().keys()) deleteConversation(id);
}

function put(conversation: Conversation): void {
  conversations.value = new Map(conversations.peek()).set(conversation.id, conversation);
}

function remove(id: string): void {
  const rest = new Map(conversations.peek());
  rest.delete(id);
  conversations.value = rest;
}

function save(id: string): void {
  const conversation = conversationOf(id);
  if (conversation !== undefined) storage?.save(conversation).catch(notSaved);
}

/** Such as a disk that is full. */
function notSaved(error: unknown): void {
  notify(t.chat.notSaved(error instanceof Error ? error.message : String(error)));
}
