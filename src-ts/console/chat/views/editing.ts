/** Which message is being edited, of those that are shown. */
import { signal } from "@preact/signals";

export const editing = signal<string | undefined>(undefined);
