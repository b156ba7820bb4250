/** Title of the conversation, its model, and its settings. */
import { useState } from "preact/hooks";
import { t } from "../../strings.js";
import { Icon } from "../../ui/icon.js";
import type { Conversation } from "../conversation.js";
import { ModelChoice, SettingsDialog } from "./settings.js";

export function Header({ conversation }: { conversation: Conversation | undefined }) {
  const [open, setOpen] = useState(false);
  return (
    <header class="chat-head">
      <h1>{conversation?.title || t.chat.untitled}</h1>
      <ModelChoice conversation={conversation} />
      <button
        type="button"
        class="icon-button"
        aria-label={t.settings.open}
        title={t.settings.open}
        onClick={() => setOpen(true)}
      >
        <Icon name="settings" />
      </button>
      {open && <SettingsDialog conversation={conversation} onClose={() => setOpen(false)} />}
    </header>
  );
}
