/** All conversations: search, and what can be done with one or with all. */
import { useRef, useState } from "preact/hooks";
import { format, t } from "../../strings.js";
import { Confirm, Dialog } from "../../ui/dialog.js";
import { Icon } from "../../ui/icon.js";
import { notify } from "../../ui/notices.js";
import { searchId } from "../../ui/places.js";
import { go, hashOf } from "../../ui/router.js";
import { stop } from "../answers.js";
import type { Conversation } from "../conversation.js";
import { newId } from "../conversation.js";
import { search } from "../search.js";
import {
  add,
  change,
  conversationOf,
  conversations,
  deleteConversation,
  openId,
} from "../store.js";
import { asMarkdown, exported, ImportError, imported } from "../transfer.js";

export function ConversationList() {
  const [query, setQuery] = useState("");
  const found = search(conversations.value.values(), query);
  return (
    <section class="conversations" aria-label={t.chat.list}>
      <a class="new-chat" href={hashOf({ view: "chat", id: undefined })}>
        <Icon name="plus" />
        {t.chat.new}
      </a>
      <label class="search">
        <Icon name="search" />
        <input
          id={searchId}
          type="search"
          placeholder={t.chat.search}
          aria-label={t.chat.search}
          value={query}
          onInput={({ currentTarget }) => setQuery(currentTarget.value)}
        />
      </label>
      {found.length === 0 && (
        <p class="muted list-empty">{query === "" ? t.chat.none : t.chat.noneFound}</p>
      )}
      <ul class="list">
        {found.map(({ conversation, excerpt }) => (
          <Row key={conversation.id} conversation={conversation} excerpt={excerpt} />
        ))}
      </ul>
      <Transfer />
    </section>
  );
}

function Row({
  conversation,
  excerpt,
}: {
  conversation: Conversation;
  excerpt: string | undefined;
}) {
  const [open, setOpen] = useState(false);
  const { id, title, updatedAt } = conversation;
  return (
    <li class="list-row">
      <a
        href={hashOf({ view: "chat", id })}
        aria-current={openId.value === id ? "page" : undefined}
        title={format.day(updatedAt)}
      >
        <span class="row-title">{title || t.chat.untitled}</span>
        {excerpt !== undefined && <span class="row-excerpt">{excerpt}</span>}
      </a>
      <button
        type="button"
        class="icon-button"
        aria-label={`${t.chat.actions}: ${title || t.chat.untitled}`}
        title={t.chat.actions}
        onClick={() => setOpen(true)}
      >
        <Icon name="more" />
      </button>
      {open && <Actions conversation={conversation} onClose={() => setOpen(false)} />}
    </li>
  );
}

function Actions({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const [asked, setAsked] = useState(false);
  const [title, setTitle] = useState(conversation.title);
  if (asked)
    return (
      <Confirm
        title={t.chat.confirmDelete(conversation.title || t.chat.untitled)}
        action={t.chat.delete}
        danger
        onConfirm={() => forget(conversation)}
        onClose={onClose}
      />
    );
  return (
    <Dialog title={conversation.title || t.chat.untitled} onClose={onClose}>
      <form
        class="rename"
        onSubmit={(event) => {
          event.preventDefault();
          if (title.trim() !== "")
            change(conversation.id, (one) => ({
              ...one,
              title: title.trim(),
              updatedAt: Date.now(),
            }));
          onClose();
        }}
      >
        <label class="field">
          <span>{t.chat.renamePrompt}</span>
          <input
            value={title}
            maxLength={200}
            onInput={({ currentTarget }) => setTitle(currentTarget.value)}
          />
        </label>
        <button type="submit">{t.chat.rename}</button>
      </form>
      <div class="dialog-actions start">
        <button
          type="button"
          onClick={() => saveFile(`${fileName(conversation)}.json`, exported([conversation]))}
        >
          {t.chat.export}
        </button>
        <button
          type="button"
          onClick={() => {
            const names = { user: t.chat.you, assistant: t.chat.assistant };
            saveFile(`${fileName(conversation)}.md`, asMarkdown(conversation, names));
          }}
        >
          {t.chat.exportMarkdown}
        </button>
        <button type="button" class="danger" onClick={() => setAsked(true)}>
          {t.chat.delete}
        </button>
      </div>
    </Dialog>
  );
}

/** What is on its way for it is stopped. */
function forget({ id, messages }: Conversation): void {
  for (const message of Object.values(messages)) stop(message.id);
  deleteConversation(id);
  if (openId.peek() === id) go({ view: "chat", id: undefined });
}

function Transfer() {
  const input = useRef<HTMLInputElement>(null);
  const [asked, setAsked] = useState(false);
  const all = [...conversations.value.values()];
  return (
    <div class="transfer">
      <button type="button" class="quiet small" onClick={() => input.current?.click()}>
        {t.chat.import}
      </button>
      {all.length > 0 && (
        <>
          <button
            type="button"
            class="quiet small"
            onClick={() => saveFile("conversations.json", exported(all))}
          >
            {t.chat.exportAll}
          </button>
          <button
            type="button"
            class="icon-button"
            aria-label={t.chat.deleteAll}
            title={t.chat.deleteAll}
            onClick={() => setAsked(true)}
          >
            <Icon name="trash" />
          </button>
        </>
      )}
      <input
        ref={input}
        type="file"
        accept="application/json,.json"
        hidden
        aria-label={t.chat.import}
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file !== undefined) void take(file);
          currentTarget.value = "";
        }}
      />
      {asked && (
        <Confirm
          title={t.chat.confirmDeleteAll(all.length)}
          action={t.chat.deleteAll}
          danger
          onConfirm={() => all.forEach(forget)}
          onClose={() => setAsked(false)}
        />
      )}
    </div>
  );
}

async function take(file: File): Promise<void> {
  try {
    const all = imported(await file.text());
    // One that is here already stays as it is: the imported one is another.
    for (const one of all)
      add(conversationOf(one.id) === undefined ? one : { ...one, id: newId() });
    notify(t.chat.imported(all.length));
  } catch (error) {
    if (!(error instanceof ImportError)) throw error;
    notify(t.chat.importErrors[error.problem](error.place));
  }
}

const fileName = ({ title }: Conversation): string =>
  title
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 40) || "conversation";

function saveFile(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1_000);
}
