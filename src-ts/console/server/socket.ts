/**
 * The one WebSocket of this page, by the product's own client: it comes back by itself, for as long as the page is
 * there, and streams go on where they were.
 */
import { signal } from "@preact/signals";
import { type Client, connect } from "../../client/index.js";
import { call } from "./api.js";
import { access } from "./session.js";

export const connection = signal<"idle" | "connected" | "reconnecting">("idle");
/** Response ids that have just gone on with another worker. */
const migrationListeners = new Set<(responseId: string) => void>();

let opening: Promise<Client> | undefined;

export function onMigrated(listener: (responseId: string) => void): void {
  migrationListeners.add(listener);
}

/** Rejects with ConnectError; whoever asks next tries anew. */
export function client(): Promise<Client> {
  opening ??= open();
  return opening;
}

async function open(): Promise<Client> {
  try {
    const opened = await connect(location.origin, {
      ...(access.peek() === "signedIn" && { ticket }),
      reconnect: { timeoutMs: Number.POSITIVE_INFINITY },
    });
    connection.value = "connected";
    opened.on("reconnecting", () => {
      connection.value = "reconnecting";
    });
    opened.on("reconnected", () => {
      connection.value = "connected";
    });
    opened.on("close", () => {
      connection.value = "idle";
      opening = undefined;
    });
    opened.on("migrated", ({ response_id }) => {
      for (const listener of migrationListeners) listener(response_id);
    });
    return opened;
  } catch (error) {
    opening = undefined;
    throw error;
  }
}

async function ticket(): Promise<string> {
  const { ticket } = await call<{ ticket: string }>("/v1/ws-tickets", { method: "POST" });
  return ticket;
}

/** After a sleep: it may have died without a word, which a browser notices late or never. */
export async function revive(): Promise<void> {
  await opening
    ?.then((opened) => opened.reconnect())
    .catch(() => {
      // It never opened.
    });
}

/** After a sign-out: its socket is the former user's. */
export async function disconnect(): Promise<void> {
  const former = opening;
  opening = undefined;
  connection.value = "idle";
  await former
    ?.then((opened) => opened.close())
    .catch(() => {
      // It never opened.
    });
}
