/** Keys that work anywhere on the page. Those of one field are the field's own. */
import { signal } from "@preact/signals";
import { composerId, searchId } from "../ui/places.js";
import { go } from "../ui/router.js";

export const shortcutsShown = signal(false);

export function startShortcuts(): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey) return;
    const act = event.altKey
      ? withAlt[event.code]
      : isTyping(event.target)
        ? undefined
        : plain[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });
}

const focus = (id: string): void => document.getElementById(id)?.focus();

const withAlt: Readonly<Record<string, () => void>> = {
  KeyN: () => {
    go({ view: "chat", id: undefined });
    setTimeout(() => focus(composerId));
  },
  KeyK: () => {
    if (document.getElementById(searchId) === null) go({ view: "chat", id: undefined });
    setTimeout(() => focus(searchId));
  },
  Digit1: () => go({ view: "start" }),
  Digit2: () => go({ view: "chat", id: undefined }),
  Digit3: () => go({ view: "live", id: undefined }),
};

const plain: Readonly<Record<string, () => void>> = {
  "/": () => focus(composerId),
  "?": () => {
    shortcutsShown.value = true;
  },
};

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, dialog *");
}
