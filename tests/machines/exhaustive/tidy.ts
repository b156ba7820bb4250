/** What a process holds of slots that have gone: all its frames of them say nothing, one stands for all. */
import type { Draft } from "./draft.js";
import { goneSlot, type Held, type World } from "./world.js";

export function tidy(draft: Draft): void {
  for (const [worker, { process }] of draft.workers.entries())
    if (process?.held.some(({ id }) => id !== goneSlot && !isKnown(draft, id)))
      draft.changeProcess(worker, { held: united(draft, process.held) });
}

const isKnown = ({ requests }: World, id: number): boolean =>
  requests.some((one) => one?.slot?.id === id);

function united(draft: Draft, held: readonly Held[]): Held[] {
  const gone = new Map<boolean, Held>();
  const known: Held[] = [];
  for (const one of held)
    if (isKnown(draft, one.id)) known.push(one);
    else gone.set(one.deadly, { ...one, id: goneSlot, next: 0, prefilled: false, aborting: false });
  return [...known, ...gone.values()];
}
