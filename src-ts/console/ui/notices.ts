/** Short notices at the edge of the page, read out by screen readers. */
import { signal } from "@preact/signals";

export interface Notice {
  id: number;
  text: string;
}

export const notices = signal<readonly Notice[]>([]);

const shownMs = 7_000;
let count = 0;

export function notify(text: string): void {
  if (notices.peek().some((notice) => notice.text === text)) return;
  const id = ++count;
  notices.value = [...notices.peek(), { id, text }];
  setTimeout(() => dismiss(id), shownMs);
}

export function dismiss(id: number): void {
  notices.value = notices.peek().filter((notice) => notice.id !== id);
}
