/** Where a message is written: text, files, and the button that sends or stops. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../../strings.js";
import { Icon } from "../../ui/icon.js";
import { notify } from "../../ui/notices.js";
import { composerId } from "../../ui/places.js";
import { attached, freeName, messageCharsMax, pasteCharsMax } from "../attach.js";
import type { Attachment, Message } from "../conversation.js";
import { openPath } from "../store.js";
import { editing } from "./editing.js";
import { ContextGauge } from "./gauge.js";

export interface Sent {
  text: string;
  attachments: Attachment[];
}

interface ComposerProps {
  running: Message | undefined;
  onSend: (sent: Sent) => void;
  onStop: (messageId: string) => void;
}

/** Outlives the view: going to another one loses nothing. */
const text = signal("");
const files = signal<readonly Attachment[]>([]);

export function Composer({ running, onSend, onStop }: ComposerProps) {
  const [dragging, setDragging] = useState(false);
  const canSend = running === undefined && (text.value.trim() !== "" || files.value.length > 0);
  const submit = () => {
    if (!canSend) return;
    if (text.value.length > messageCharsMax) return notify(t.chat.tooLong);
    onSend({ text: text.value.trim(), attachments: [...files.value] });
    text.value = "";
    files.value = [];
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // An input method's Enter takes a word.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && running !== undefined) onStop(running.id);
    else if (event.key === "ArrowUp" && text.value === "") editLast(event);
  };
  return (
    <form
      class={`composer${dragging ? " dragging" : ""}`}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setDragging(true);
      }}
      onDragLeave={() => setDragging(false)}
      onDrop={(event) => {
        event.preventDefault();
        setDragging(false);
        void addFiles(event.dataTransfer?.files);
      }}
    >
      <Files />
      {dragging && <p class="drop-hint">{t.chat.drop}</p>}
      <Field onKeyDown={onKeyDown} />
      <div class="composer-row">
        <AttachButton />
        <ContextGauge text={text.value} files={files.value} />
        {running === undefined ? (
          <button
            type="submit"
            class="round primary"
            aria-label={t.chat.send}
            title={t.chat.send}
            disabled={!canSend}
          >
            <Icon name="send" />
          </button>
        ) : (
          <button
            type="button"
            class="round primary"
            aria-label={t.chat.stop}
            title={t.chat.stop}
            onClick={() => onStop(running.id)}
          >
            <Icon name="stop" />
          </button>
        )}
      </div>
    </form>
  );
}

function editLast(event: KeyboardEvent): void {
  const last = openPath.peek().findLast(({ role }) => role === "user");
  if (last === undefined) return;
  event.preventDefault();
  editing.value = last.id;
}

function Field({ onKeyDown }: { onKeyDown: (event: KeyboardEvent) => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    // A keyboard that comes up by itself hides half of a phone.
    if (matchMedia("(hover: hover)").matches) field.current?.focus();
  }, []);
  const onPaste = (event: ClipboardEvent) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    const given = event.clipboardData?.files;
    if (given !== undefined && given.length > 0 && pasted === "") {
      event.preventDefault();
      void addFiles(given);
    } else if (pasted.length > pasteCharsMax) {
      event.preventDefault();
      const name = freeName(t.chat.pasteName, "txt", files.peek());
      if (addBytes(name, new TextEncoder().encode(pasted))) notify(t.chat.pasted(name));
    }
  };
  return (
    <div class="grow" data-value={`${text.value}\n`}>
      <textarea
        ref={field}
        id={composerId}
        rows={1}
        value={text.value}
        placeholder={t.chat.placeholder}
        aria-label={t.chat.message}
        onInput={({ currentTarget }) => {
          text.value = currentTarget.value;
        }}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
      />
    </div>
  );
}

function Files() {
  if (files.value.length === 0) return null;
  return (
    <ul class="files">
      {files.value.map((file) => (
        <li key={file.name} class="file">
          <Icon name="file" />
          <span>{file.name}</span>
          <button
            type="button"
            class="icon-button"
            aria-label={t.chat.removeFile(file.name)}
            onClick={() => {
              files.value = files.peek().filter((one) => one !== file);
            }}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}

function AttachButton() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class="icon-button"
        aria-label={t.chat.attach}
        title={t.chat.attach}
        onClick={() => input.current?.click()}
      >
        <Icon name="attach" />
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={({ currentTarget }) => {
          void addFiles(currentTarget.files).then(() => {
            currentTarget.value = "";
          });
        }}
      />
    </>
  );
}

async function addFiles(given: FileList | null | undefined): Promise<void> {
  for (const file of given ?? []) addBytes(file.name, new Uint8Array(await file.arrayBuffer()));
}

function addBytes(name: string, bytes: Uint8Array): boolean {
  const taken = files.peek().some((file) => file.name === name);
  const [, base = name, ending = "txt"] = /^(.*)\.(\w+)$/.exec(name) ?? [];
  const own = taken ? freeName(base, ending, files.peek()) : name;
  const result = attached(own, bytes, files.peek());
  if ("refusal" in result) {
    notify(t.chat.refusals[result.refusal](name));
    return false;
  }
  files.value = [...files.peek(), result.attachment];
  return true;
}
