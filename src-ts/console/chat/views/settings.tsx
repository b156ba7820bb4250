/** What a conversation asks of the model: model, system prompt, sampling, tools. */
import { snapshot } from "../../server/feed.js";
import { t } from "../../strings.js";
import { Dialog } from "../../ui/dialog.js";
import type { Conversation, Settings } from "../conversation.js";
import { toolsOf } from "../request.js";
import { change, draftSettings } from "../store.js";

interface SettingsProps {
  conversation: Conversation | undefined;
}

const settingsOf = ({ conversation }: SettingsProps): Settings =>
  conversation?.settings ?? draftSettings.value;

/** The open conversation's; those of the next one where none is open. */
function set({ conversation }: SettingsProps, by: Partial<Settings>): void {
  if (conversation === undefined) draftSettings.value = { ...draftSettings.peek(), ...by };
  else
    change(conversation.id, (one) => ({
      ...one,
      updatedAt: Date.now(),
      settings: { ...one.settings, ...by },
    }));
}

export function ModelChoice(props: SettingsProps) {
  const models = snapshot.value?.models ?? [];
  const { model } = settingsOf(props);
  const byDefault = models.find(({ isDefault }) => isDefault)?.id;
  const isKnown = model === null || models.some(({ id }) => id === model);
  return (
    <select
      class="model-choice"
      aria-label={t.settings.model}
      value={model ?? ""}
      onChange={({ currentTarget }) =>
        set(props, { model: currentTarget.value === "" ? null : currentTarget.value })
      }
    >
      <option value="">
        {byDefault === undefined ? t.settings.modelDefault : t.settings.serverDefault(byDefault)}
      </option>
      {models
        .filter(({ isDefault }) => !isDefault)
        .map(({ id }) => (
          <option key={id} value={id}>
            {id}
          </option>
        ))}
      {!isKnown && <option value={model ?? ""}>{model}</option>}
    </select>
  );
}

interface NumberSetting {
  name: "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty" | "maxTokens" | "seed";
  min?: number;
  max?: number;
  step: number | "any";
}

/** Bounds as those of the API. */
const numbers: readonly NumberSetting[] = [
  { name: "temperature", min: 0, max: 2, step: "any" },
  { name: "topP", min: 0, max: 1, step: "any" },
  { name: "topK", min: 0, max: 1_000_000, step: 1 },
  { name: "minP", min: 0, max: 1, step: "any" },
  { name: "repetitionPenalty", min: 0.01, max: 10, step: "any" },
  { name: "maxTokens", min: 1, max: 1_048_576, step: 1 },
  { name: "seed", step: 1 },
];

export function SettingsDialog(props: SettingsProps & { onClose: () => void }) {
  const settings = settingsOf(props);
  return (
    <Dialog title={t.settings.title} onClose={props.onClose} side>
      <div class="settings">
        <label class="field">
          <span>{t.settings.system}</span>
          <textarea
            rows={5}
            value={settings.system}
            placeholder={t.settings.systemHint}
            onInput={({ currentTarget }) => set(props, { system: currentTarget.value })}
          />
        </label>
        <fieldset>
          <legend>{t.settings.sampling}</legend>
          <p class="muted">{t.settings.hint}</p>
          <div class="numbers">
            {numbers.map((one) => (
              <NumberField key={one.name} setting={one} settings={settings} {...props} />
            ))}
          </div>
        </fieldset>
        <label class="field">
          <span>{t.settings.reasoning}</span>
          <select
            value={settings.reasoning}
            onChange={({ currentTarget }) =>
              set(props, { reasoning: currentTarget.value === "off" ? "off" : "default" })
            }
          >
            <option value="default">{t.settings.reasoningDefault}</option>
            <option value="off">{t.settings.reasoningOff}</option>
          </select>
        </label>
        <ToolsField settings={settings} {...props} />
      </div>
    </Dialog>
  );
}

function NumberField({
  setting: { name, min, max, step },
  settings,
  ...props
}: SettingsProps & { setting: NumberSetting; settings: Settings }) {
  return (
    <label class="field">
      <span>{t.settings[name]}</span>
      <input
        type="number"
        inputMode="decimal"
        {...{ min, max, step }}
        value={settings[name] ?? ""}
        onInput={({ currentTarget }) => {
          const { value, validity } = currentTarget;
          if (value === "" && !validity.badInput) set(props, { [name]: null });
          else if (validity.valid) set(props, { [name]: Number(value) });
        }}
      />
    </label>
  );
}

function ToolsField({ settings, ...props }: SettingsProps & { settings: Settings }) {
  const problem = problemIn(settings.tools);
  return (
    <label class="field">
      <span>{t.settings.tools}</span>
      <textarea
        class="mono"
        rows={4}
        spellcheck={false}
        value={settings.tools}
        aria-invalid={problem !== undefined}
        aria-describedby="tools-hint"
        placeholder={t.settings.toolsExample}
        onInput={({ currentTarget }) => set(props, { tools: currentTarget.value })}
      />
      <span id="tools-hint" class={problem === undefined ? "muted" : "problem"}>
        {problem ?? t.settings.toolsHint}
      </span>
    </label>
  );
}

function problemIn(tools: string): string | undefined {
  try {
    toolsOf(tools);
    return undefined;
  } catch (error) {
    return t.settings.toolsWrong((error as Error).message);
  }
}
