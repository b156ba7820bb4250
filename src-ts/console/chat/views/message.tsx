/** One message: what was said, how it came about, and what can be done with it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Markdown } from "../../markdown/markdown.js";
import { format, t } from "../../strings.js";
import { CopyButton } from "../../ui/copy.js";
import { Icon } from "../../ui/icon.js";
import { go } from "../../ui/router.js";
import { speedOf } from "../answer.js";
import { answer as answerAgain, chooseBranch, draftOf, say } from "../answers.js";
import {
  type Answer,
  type Attachment,
  type Conversation,
  childrenOf,
  forkedAt,
  isRunning,
  type Message,
} from "../conversation.js";
import { add } from "../store.js";
import { CallView } from "./call.js";
import { editing } from "./editing.js";

interface MessageProps {
  conversation: Conversation;
  message: Message;
}

export function MessageView({ conversation, message }: MessageProps) {
  return message.role === "user" ? (
    <UserMessage conversation={conversation} message={message} />
  ) : (
    <AssistantMessage conversation={conversation} message={message} />
  );
}

function UserMessage({ conversation, message }: MessageProps) {
  if (editing.value === message.id) return <Editor conversation={conversation} message={message} />;
  return (
    <article class="message user" aria-label={t.chat.you}>
      <div class="bubble">
        <FileNames files={message.attachments} />
        {message.text !== "" && <p class="plain">{message.text}</p>}
      </div>
      <footer class="message-foot">
        <Branches conversation={conversation} message={message} />
        <CopyButton text={() => message.text} label={t.chat.copyMessage} />
        <button
          type="button"
          class="icon-button"
          aria-label={t.chat.edit}
          title={t.chat.edit}
          onClick={() => {
            editing.value = message.id;
          }}
        >
          <Icon name="edit" />
        </button>
      </footer>
    </article>
  );
}

function Editor({ conversation, message }: MessageProps) {
  const [text, setText] = useState(message.text);
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), []);
  const close = () => {
    editing.value = undefined;
  };
  const submit = () => {
    if (text.trim() === "" && message.attachments.length === 0) return;
    close();
    const { parent, attachments } = message;
    say(conversation.id, parent, { text: text.trim(), attachments });
  };
  return (
    <form
      class="message user editor"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <FileNames files={message.attachments} />
      <div class="grow" data-value={`${text}\n`}>
        <textarea
          ref={field}
          value={text}
          aria-label={t.chat.edit}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") close();
            else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
              event.preventDefault();
              submit();
            }
          }}
        />
      </div>
      <div class="dialog-actions">
        <button type="button" class="small" onClick={close}>
          {t.common.cancel}
        </button>
        <button type="submit" class="primary small" aria-label={t.chat.editSend}>
          {t.chat.send}
        </button>
      </div>
    </form>
  );
}

function AssistantMessage({ conversation, message }: MessageProps) {
  const draft = draftOf(message.id);
  const answer = draft?.answer ?? message.answer;
  if (answer === undefined) return null;
  const text = draft?.text ?? message.text;
  const running = isRunning(answer);
  return (
    <article class="message assistant" aria-label={t.chat.assistant} aria-busy={running}>
      <Reasoning answer={answer} hasText={text !== ""} />
      {text !== "" && <Markdown text={text} />}
      {answer.calls.map((call) => (
        <CallView
          key={call.callId}
          {...{ conversation, message, call }}
          result={message.answer?.results[call.callId]}
          isOpen={!running}
        />
      ))}
      {answer.status === "waiting" && <Waiting />}
      <Remarks answer={answer} />
      {!running && (
        <footer class="message-foot">
          <Branches conversation={conversation} message={message} />
          <CopyButton text={() => text} label={t.chat.copyAnswer} />
          <button
            type="button"
            class="icon-button"
            aria-label={t.chat.regenerate}
            title={t.chat.regenerate}
            onClick={() => message.parent !== null && answerAgain(conversation.id, message.parent)}
          >
            <Icon name="again" />
          </button>
          <button
            type="button"
            class="icon-button"
            aria-label={t.chat.fork}
            title={t.chat.fork}
            onClick={() => {
              const fork = forkedAt(conversation, message.id, Date.now());
              add(fork);
              go({ view: "chat", id: fork.id });
            }}
          >
            <Icon name="fork" />
          </button>
          <Figures answer={answer} />
        </footer>
      )}
    </article>
  );
}

function Waiting() {
  return (
    <p class="waiting">
      <span class="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      <span class="visually-hidden">{t.chat.waiting}</span>
    </p>
  );
}

/** Open while nothing else is to be seen, and folded from the first word of the answer on. */
function Reasoning({ answer, hasText }: { answer: Answer; hasText: boolean }) {
  const [opened, setOpened] = useState<boolean>();
  if (answer.reasoning === "") return null;
  const now = isRunning(answer) && !hasText && answer.calls.length === 0;
  return (
    <details
      class="fold"
      open={opened ?? now}
      onToggle={({ currentTarget }) => {
        if (currentTarget.open !== (opened ?? now)) setOpened(currentTarget.open);
      }}
    >
      <summary>{now ? t.chat.reasoningNow : t.chat.reasoning}</summary>
      <div class="fold-body">
        <Markdown text={answer.reasoning} />
      </div>
    </details>
  );
}

function Remarks({ answer: { status, error, migrations, repeats } }: { answer: Answer }) {
  return (
    <>
      {migrations > 0 && <p class="remark">{t.chat.migrated(migrations)}</p>}
      {repeats > 0 && <p class="remark">{t.chat.repeated}</p>}
      {status === "stopped" && <p class="remark">{t.chat.stopped}</p>}
      {status === "cut" && <p class="remark">{t.chat.cut}</p>}
      {status === "failed" && (
        <p class="problem" role="alert">
          {t.chat.failed(error?.message ?? "")}
        </p>
      )}
    </>
  );
}

function Figures({ answer }: { answer: Answer }) {
  const { usage, ttftMs } = answer;
  const speed = speedOf(answer);
  const parts = [
    usage && t.chat.tokens(usage.output),
    speed === undefined ? undefined : t.chat.speed(speed),
    ttftMs === undefined ? undefined : t.chat.ttft(ttftMs),
    usage && usage.cached > 0 ? t.chat.cached(usage.cached) : undefined,
  ].filter((part) => part !== undefined);
  return <span class="figures">{parts.join(" · ")}</span>;
}

function Branches({ conversation, message }: MessageProps) {
  const all = childrenOf(conversation, message.parent);
  if (all.length < 2) return null;
  const at = all.findIndex(({ id }) => id === message.id);
  const show = (index: number) => chooseBranch(conversation.id, all[index]!.id);
  return (
    <span class="branches">
      <button
        type="button"
        class="icon-button"
        aria-label={t.chat.previous}
        disabled={at === 0}
        onClick={() => show(at - 1)}
      >
        <Icon name="left" />
      </button>
      <span class="branch-count">
        <span aria-hidden="true">
          {at + 1}/{all.length}
        </span>
        <span class="visually-hidden">{t.chat.branch(at + 1, all.length)}</span>
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label={t.chat.next}
        disabled={at === all.length - 1}
        onClick={() => show(at + 1)}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}

function FileNames({ files }: { files: readonly Attachment[] }) {
  if (files.length === 0) return null;
  return (
    <ul class="files">
      {files.map(({ name, text }) => (
        <li key={name} class="file">
          <Icon name="file" />
          <span>{name}</span>
          <span class="muted">{format.bytes(text.length)}</span>
        </li>
      ))}
    </ul>
  );
}
