/** Copying to the clipboard. */
import { useState } from "preact/hooks";
import { t } from "../strings.js";
import { Icon } from "./icon.js";
import { notify } from "./notices.js";

const copiedMs = 1_500;

/** False, and said so, where the browser forbids it: pages of plain HTTP from another machine have no clipboard. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (copiedByHand(text)) return true;
    notify(t.common.copyFailed);
    return false;
  }
}

function copiedByHand(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

interface CopyProps {
  text: () => string;
  label: string;
  /** Shown beside the icon. */
  words?: boolean;
}

export function CopyButton({ text, label, words = false }: CopyProps) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await copyText(text()))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), copiedMs);
  };
  return (
    <button
      type="button"
      class={words ? "quiet small" : "icon-button"}
      aria-label={copied ? t.common.copied : label}
      title={label}
      onClick={copy}
    >
      <Icon name={copied ? "check" : "copy"} />
      {words && <span>{copied ? t.common.copied : t.common.copy}</span>}
    </button>
  );
}
