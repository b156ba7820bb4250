/**
 * Conversations in the browser's IndexedDB, and word of changes between the tabs of one browser. Where it can't be
 * used, conversations live as long as the page.
 */
import { type Conversation, merged } from "./conversation.js";

const databaseName = "mlx-serving";
const storeName = "conversations";
const channelName = "mlx-serving.conversations";

export interface StorageListeners {
  /** Another tab has changed or made this one. */
  changed(conversation: Conversation): void;
  deleted(id: string): void;
}

export class ConversationStorage {
  private readonly channel: BroadcastChannel;
  /** Written by this page, or read: one that is missing later was deleted elsewhere. */
  private readonly known = new Set<string>();

  private constructor(private readonly database: IDBDatabase) {
    this.channel = new BroadcastChannel(channelName);
  }

  /** Rejects where the browser has none, or forbids it. */
  static async open(): Promise<ConversationStorage> {
    const request = indexedDB.open(databaseName, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(storeName, { keyPath: "id" });
    };
    return new ConversationStorage(await resultOf(request));
  }

  listen({ changed, deleted }: StorageListeners): void {
    this.channel.onmessage = ({ data }: MessageEvent<{ id: string; deleted: boolean }>) => {
      if (data.deleted) {
        this.known.delete(data.id);
        deleted(data.id);
      } else
        void this.read(data.id).then((conversation) => {
          if (conversation !== undefined) changed(conversation);
        });
    };
  }

  async all(): Promise<Conversation[]> {
    const all = await resultOf<Conversation[]>(this.objects("readonly").getAll());
    for (const { id } of all) this.known.add(id);
    return all;
  }

  /** Joined with what another tab has written; what was deleted elsewhere stays so. */
  async save(conversation: Conversation): Promise<void> {
    const { id } = conversation;
    const objects = this.objects("readwrite");
    const kept = await resultOf<Conversation | undefined>(objects.get(id));
    if (kept === undefined && this.known.has(id)) return;
    await resultOf(objects.put(kept === undefined ? conversation : merged(kept, conversation)));
    this.known.add(id);
    this.channel.postMessage({ id, deleted: false });
  }

  async delete(id: string): Promise<void> {
    this.known.delete(id);
    await resultOf(this.objects("readwrite").delete(id));
    this.channel.postMessage({ id, deleted: true });
  }

  private async read(id: string): Promise<Conversation | undefined> {
    const found = await resultOf<Conversation | undefined>(this.objects("readonly").get(id));
    if (found !== undefined) this.known.add(id);
    return found;
  }

  private objects(mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(storeName, mode).objectStore(storeName);
  }
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
