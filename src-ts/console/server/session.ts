/**
 * Who this page is to the server. A key is sent once and exchanged for a session's token; that is kept in this page's
 * memory alone, so it is gone with the page.
 */
import { computed, signal } from "@preact/signals";
import { ApiError, refusalOf } from "./errors.js";

/** `unknown`: not asked yet. `open`: no key is needed. `unreachable`: nobody answers. */
export type Access = "unknown" | "open" | "signedOut" | "signedIn" | "unreachable";

/** Of a connection that a browser kept over a sleep there may never come an answer. */
const answerMsMax = 6_000;

const found = signal<Access>("unknown");
const token = signal<string | undefined>(undefined);
/** It was signed in before: what to say is another thing then. */
export const wasSignedIn = signal(false);

export const access = computed<Access>(() =>
  token.value === undefined ? found.value : "signedIn",
);
export const mayAsk = computed(() => access.value === "open" || access.value === "signedIn");

export function authorization(): Record<string, string> {
  return token.peek() === undefined ? {} : { authorization: `Bearer ${token.peek()}` };
}

/** Finds out whether a key is needed. */
export async function lookAround(): Promise<void> {
  try {
    const patience = AbortSignal.timeout(answerMsMax);
    const answer = await fetch("/v1/models", { headers: authorization(), signal: patience });
    if (answer.status === 401) signedOut();
    else found.value = "open";
  } catch {
    if (found.peek() === "unknown") found.value = "unreachable";
  }
}

/** Throws ApiError for a key that is not known. */
export async function signIn(key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch("/admin/session", { method: "POST", headers, body: "{}" });
  if (!answer.ok) throw await refusalOf(answer);
  const session = (await answer.json()) as { token: string };
  found.value = "signedOut";
  wasSignedIn.value = true;
  token.value = session.token;
}

export async function signOut(): Promise<void> {
  const headers = authorization();
  wasSignedIn.value = false;
  signedOut();
  await fetch("/admin/session", { method: "DELETE", headers }).catch(() => {
    // It ends by itself.
  });
}

/** The server doesn't know this session, or has never seen one. */
export function signedOut(): void {
  token.value = undefined;
  found.value = "signedOut";
}

/** A header holds nothing but printable ASCII; nothing else can be a key. */
export const isKey = (text: string): boolean => /^[\x21-\x7e]+$/.test(text);

export { ApiError };
