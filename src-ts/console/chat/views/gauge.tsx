/** How much of the model's context the conversation takes; what is being written is estimated. */
import { snapshot } from "../../server/feed.js";
import { format, t } from "../../strings.js";
import type { Attachment, Message } from "../conversation.js";
import { estimatedTokens, promptOf } from "../request.js";
import { draftSettings, openConversation, openPath } from "../store.js";

export function ContextGauge({ text, files }: { text: string; files: readonly Attachment[] }) {
  const settings = openConversation.value?.settings ?? draftSettings.value;
  const models = snapshot.value?.models ?? [];
  const model = models.find(({ id, isDefault }) =>
    settings.model === null ? isDefault : id === settings.model,
  );
  const used =
    usedTokens(openPath.value) + estimatedTokens(promptOf({ text, attachments: [...files] }));
  const max = model?.contextMax;
  if (used === 0) return <span class="gauge" />;
  if (max === undefined) return <span class="gauge">{t.context.about(used)}</span>;
  const share = Math.min(1, used / max);
  const isOver = used > max;
  return (
    <span class={`gauge${isOver ? " over" : share > 0.8 ? " near" : ""}`}>
      <meter
        aria-label={t.context.label}
        min={0}
        max={max}
        value={Math.min(used, max)}
        title={t.context.of(used, max)}
      />
      <span class="gauge-text">{t.context.of(used, max)}</span>
      <span class="gauge-short">{format.percent(share)}</span>
      {isOver && <span role="alert">{t.context.over}</span>}
    </span>
  );
}

/** As the server counted it last, and an estimate of what has come since. */
function usedTokens(path: readonly Message[]): number {
  const counted = path.findLastIndex(({ answer }) => answer?.usage !== undefined);
  const usage = path[counted]?.answer?.usage;
  const since = path
    .slice(counted + 1)
    .reduce((sum, one) => sum + estimatedTokens(promptOf(one)), 0);
  return (usage === undefined ? 0 : usage.input + usage.output) + since;
}
