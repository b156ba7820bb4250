/** The chat: the open conversation, and where one writes. */
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { t } from "../../strings.js";
import { Icon } from "../../ui/icon.js";
import { go } from "../../ui/router.js";
import { draftOf, say, stop } from "../answers.js";
import { type Conversation, isRunning, type Message } from "../conversation.js";
import { add, begin, loaded, openConversation, openId, openPath } from "../store.js";
import { Composer, type Sent } from "./composer.js";
import { Header } from "./header.js";
import { MessageView } from "./message.js";

/** Within so many pixels of the end a reader follows what is written. */
const followPixels = 80;

export function ChatView() {
  const conversation = openConversation.value;
  const isUnknown = loaded.value && openId.value !== undefined && conversation === undefined;
  useEffect(() => {
    if (isUnknown) go({ view: "chat", id: undefined });
  }, [isUnknown]);
  return (
    <section class="chat" aria-label={t.chat.title}>
      <Header conversation={conversation} />
      <Messages />
      <Composer running={runningMessage()} onSend={send} onStop={stop} />
    </section>
  );
}

function runningMessage(): Message | undefined {
  return openPath.value.findLast(({ answer }) => answer !== undefined && isRunning(answer));
}

/** Starts a conversation if none is open. */
export function send(sent: Sent): void {
  const open = openConversation.peek();
  const conversation: Conversation = open ?? begin();
  if (open === undefined) add(conversation);
  say(conversation.id, open === undefined ? null : (openPath.peek().at(-1)?.id ?? null), sent);
  if (open === undefined) go({ view: "chat", id: conversation.id });
}

function Messages() {
  const path = openPath.value;
  const conversation = openConversation.value;
  const scroller = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const follows = useRef(true);
  const toEnd = useCallback(() => {
    const { current } = scroller;
    if (current !== null) current.scrollTop = current.scrollHeight;
  }, []);
  const last = path.at(-1);
  // Read here, so that each step of it brings the end into view.
  const grown = last === undefined ? 0 : lengthOf(last);
  useLayoutEffect(() => {
    if (follows.current) toEnd();
  }, [grown, last?.id, toEnd]);
  useLayoutEffect(() => {
    follows.current = true;
    toEnd();
  }, [conversation?.id, path.length, toEnd]);
  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = scroller.current!;
    follows.current = scrollHeight - scrollTop - clientHeight < followPixels;
    setAtEnd(follows.current);
  };
  return (
    <div class="messages-place">
      <div
        class="messages"
        ref={scroller}
        onScroll={onScroll}
        tabIndex={0}
        role="log"
        aria-label={t.chat.title}
        aria-live="off"
      >
        {path.length === 0 && <p class="empty">{t.chat.empty}</p>}
        {conversation !== undefined &&
          path.map((message) => (
            <MessageView key={message.id} conversation={conversation} message={message} />
          ))}
      </div>
      {!atEnd && (
        <button
          type="button"
          class="to-latest"
          aria-label={t.chat.toLatest}
          title={t.chat.toLatest}
          onClick={toEnd}
        >
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

function lengthOf({ id, text, answer }: Message): number {
  const draft = draftOf(id);
  const shown = draft?.answer ?? answer;
  const ended = shown === undefined || !isRunning(shown) ? 1 : 0;
  return (
    (draft?.text ?? text).length +
    (shown?.reasoning.length ?? 0) +
    (shown?.calls.length ?? 0) +
    ended
  );
}
