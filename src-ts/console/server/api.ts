/** Requests to our own server, with the session's token. What it refuses is thrown as ApiError. */
import { refusalOf } from "./errors.js";
import { authorization, signedOut } from "./session.js";

export async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
  return (await ask(path, init)).json() as Promise<T>;
}

export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { ...authorization(), ...(init.headers as Record<string, string>) };
  const answer = await fetch(path, { ...init, headers });
  if (answer.ok) return answer;
  if (answer.status === 401) signedOut();
  throw await refusalOf(answer);
}

/** An order: JSON by POST, which no other site's page can send unasked. */
export function order<T>(path: string): Promise<T> {
  return call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
}

export const orders = {
  cancel: (id: string) => order(`/admin/requests/${encodeURIComponent(id)}/cancel`),
  kill: (id: string) => order(`/admin/workers/${encodeURIComponent(id)}/kill`),
  restart: (id: string) => order(`/admin/workers/${encodeURIComponent(id)}/restart`),
  drain: () => order("/admin/drain"),
};
