/**
 * What the server does now: follows `GET /admin/events` while somebody looks at it, and asks once where a look is
 * enough. Comes back by itself; a page that is hidden follows nothing.
 */
import { effect, signal } from "@preact/signals";
import type { ErrorBody } from "../../protocol/errors.js";
import type { LiveEvent, Sample, Snapshot } from "../../protocol/live.js";
import { ask } from "./api.js";
import { ApiError } from "./errors.js";
import { eventsOf } from "./event-stream.js";
import { lookAround, mayAsk, signedOut } from "./session.js";

export const snapshot = signal<Snapshot | undefined>(undefined);
export const samples = signal<readonly Sample[]>([]);
/** `lost`: what is shown is old. `refused`: this key may chat, and see nothing of what runs. */
export const feedState = signal<"off" | "on" | "lost" | "refused">("off");
/** Views that look at it now. */
const wanted = signal(0);
const visible = signal(!document.hidden);

const samplesMax = 300;
/**
 * The first event comes at once, samples every 3 s: silent for longer it is dead, though its connection may never say
 * so. A browser that has slept asks on connections that it kept, of which none may be alive.
 */
const silenceMsMax = { first: 6_000, later: 20_000 };
const retryMs = { first: 500, max: 8_000 };

/** Follows until the returned function is called. */
export function watch(): () => void {
  wanted.value++;
  return () => {
    wanted.value--;
  };
}

let current: AbortController | undefined;

export function startFeed(): void {
  document.addEventListener("visibilitychange", () => {
    visible.value = !document.hidden;
  });
  effect(() => {
    const should = wanted.value > 0 && visible.value && mayAsk.value;
    if (should === (current !== undefined)) return;
    current?.abort();
    current = should ? new AbortController() : undefined;
    if (current === undefined) feedState.value = "off";
    else void follow(current.signal);
  });
}

/** One look. */
export async function look(): Promise<void> {
  if (current !== undefined) return;
  const stop = new AbortController();
  try {
    for await (const event of eventsOf(await ask("/admin/events", { signal: stop.signal }))) {
      take(JSON.parse(event) as LiveEvent);
      if (snapshot.peek() !== undefined) break;
    }
  } finally {
    stop.abort();
  }
}

async function follow(signal: AbortSignal): Promise<void> {
  for (let waitMs = retryMs.first; !signal.aborted; ) {
    try {
      await listen(signal, () => {
        feedState.value = "on";
        waitMs = retryMs.first;
      });
    } catch (error) {
      if (isRefused(error)) {
        feedState.value = "refused";
        return;
      }
      if (error instanceof FeedEnded) return signedOut();
      // Told below: it is tried again for as long as somebody looks.
    }
    if (signal.aborted) return;
    feedState.value = "lost";
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = Math.min(retryMs.max, waitMs * 2);
    await lookAround();
  }
}

function endOf({ message, type, code }: ErrorBody): Error {
  return type === "authentication_error"
    ? new FeedEnded(message)
    : new ApiError(message, 403, code ?? "");
}

/** Another key may: whoever signs in with it is asked anew. */
function isRefused(error: unknown): boolean {
  return error instanceof ApiError && error.code === "admin_not_allowed";
}

/** Until it ends or has been silent for too long. */
async function listen(signal: AbortSignal, onEvent: () => void): Promise<void> {
  const stop = new AbortController();
  const end = () => stop.abort();
  signal.addEventListener("abort", end);
  let timer = setTimeout(end, silenceMsMax.first);
  try {
    for await (const event of eventsOf(await ask("/admin/events", { signal: stop.signal }))) {
      clearTimeout(timer);
      timer = setTimeout(end, silenceMsMax.later);
      take(JSON.parse(event) as LiveEvent);
      onEvent();
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

/** Its last event: the session or its key has come to an end, and nobody is to be asked again. */
class FeedEnded extends Error {}

/** Throws where it was the last one. */
function take(event: LiveEvent): void {
  if (event.type === "ended") throw endOf(event.error);
  if (event.type === "snapshot") snapshot.value = event;
  else if (event.type === "history") samples.value = event.samples;
  else samples.value = [...samples.peek(), event.sample].slice(-samplesMax);
}
