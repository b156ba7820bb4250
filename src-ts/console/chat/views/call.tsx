/** A call of a tool: what it asks for, and what it came to, which a person gives. */
import { useState } from "preact/hooks";
import { t } from "../../strings.js";
import { giveResult } from "../answers.js";
import type { Call, Conversation, Message } from "../conversation.js";

interface CallProps {
  conversation: Conversation;
  message: Message;
  call: Call;
  result: string | undefined;
  /** A result may be given. */
  isOpen: boolean;
}

export function CallView({ conversation, message, call, result, isOpen }: CallProps) {
  return (
    <details class="fold call" open={isOpen && call.complete && result === undefined}>
      <summary>
        {t.chat.calls(call.name)}
        {!call.complete && isOpen && <span class="muted"> · {t.chat.brokenOff}</span>}
      </summary>
      <div class="fold-body">
        <p class="label">{t.chat.arguments}</p>
        <pre class="arguments">{indented(call.arguments)}</pre>
        {result !== undefined && (
          <>
            <p class="label">{t.chat.result}</p>
            <pre class="arguments">{result}</pre>
          </>
        )}
        {isOpen && call.complete && result === undefined && (
          <ResultForm
            onGive={(output) => giveResult(conversation.id, message, call.callId, output)}
          />
        )}
      </div>
    </details>
  );
}

function ResultForm({ onGive }: { onGive: (output: string) => void }) {
  const [output, setOutput] = useState("");
  return (
    <form
      class="result-form"
      onSubmit={(event) => {
        event.preventDefault();
        onGive(output);
      }}
    >
      <label class="field">
        <span>{t.chat.result}</span>
        <textarea
          rows={2}
          value={output}
          placeholder={t.chat.resultHint}
          onInput={({ currentTarget }) => setOutput(currentTarget.value)}
        />
      </label>
      <button type="submit" class="small">
        {t.chat.giveResult}
      </button>
    </form>
  );
}

function indented(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    // Still growing, broken off, or a custom tool's own text.
    return json;
  }
}
