/** From markup to nodes that may be shown. The only place where text becomes markup. */
import DOMPurify from "dompurify";
import { t } from "../strings.js";
import { isOwnClass, policy } from "./policy.js";

DOMPurify.addHook("uponSanitizeAttribute", (_node, data) => {
  if (data.attrName !== "class") return;
  data.attrValue = data.attrValue.split(/\s+/).filter(isOwnClass).join(" ");
});

export function nodesOf(html: string): DocumentFragment {
  const nodes = DOMPurify.sanitize(html, { ...policy, RETURN_DOM_FRAGMENT: true });
  for (const link of nodes.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const table of nodes.querySelectorAll("table")) wrap(table, "table-scroll");
  for (const pre of nodes.querySelectorAll("pre")) withHead(pre);
  return nodes;
}

function wrap(element: Element, className: string): HTMLElement {
  const box = document.createElement("div");
  box.className = className;
  element.replaceWith(box);
  box.append(element);
  // What scrolls can be scrolled with keys.
  box.tabIndex = 0;
  return box;
}

/** Its language and a button; what the button does, `Markdown` says. */
function withHead(pre: HTMLPreElement): void {
  const language = /language-([\w+#.-]+)/.exec(pre.firstElementChild?.className ?? "")?.[1];
  const box = document.createElement("div");
  box.className = "code";
  const head = document.createElement("div");
  head.className = "code-head";
  const name = document.createElement("span");
  name.textContent = language ?? t.chat.code;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.copy = "";
  button.className = "quiet small";
  button.textContent = t.common.copy;
  button.setAttribute("aria-label", t.chat.copyCode);
  head.append(name, button);
  pre.replaceWith(box);
  pre.tabIndex = 0;
  box.append(head, pre);
}
