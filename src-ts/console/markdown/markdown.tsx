/** A text in Markdown. Blocks that have not changed are left alone. */
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { t } from "../strings.js";
import { copyText } from "../ui/copy.js";
import { type Block, blocksOf } from "./blocks.js";
import { nodesOf } from "./sanitize.js";

const copiedMs = 1_500;

export function Markdown({ text }: { text: string }) {
  const blocks = useMemo(() => blocksOf(text), [text]);
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const { current } = root;
    current?.addEventListener("click", onClick);
    return () => current?.removeEventListener("click", onClick);
  }, []);
  return (
    <div class="markdown" ref={root}>
      {blocks.map((block, i) => (
        <BlockView key={i} block={block} />
      ))}
    </div>
  );
}

function BlockView({ block }: { block: Block }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    place.current?.replaceChildren(nodesOf(block.html));
  }, [block.html]);
  return <div ref={place} />;
}

async function onClick({ target }: Event): Promise<void> {
  const button = target instanceof Element ? target.closest("button[data-copy]") : null;
  const code = button?.closest(".code")?.querySelector("code");
  if (button === null || code === null || code === undefined) return;
  if (!(await copyText(code.textContent ?? ""))) return;
  button.textContent = t.common.copied;
  setTimeout(() => {
    button.textContent = t.common.copy;
  }, copiedMs);
}
