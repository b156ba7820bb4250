/** What a page does when it begins, when somebody signs in or out, and when it comes back from a sleep. */
import { effect, signal } from "@preact/signals";
import { takeUp, takeUpAll } from "../chat/answers.js";
import { conversationOf, loadConversations, openId } from "../chat/store.js";
import { feedState, look } from "../server/feed.js";
import { access, lookAround, mayAsk, signOut } from "../server/session.js";
import { connection, disconnect, revive } from "../server/socket.js";
import { route } from "../ui/router.js";
import { onWake } from "./wake.js";

const retryMs = 2_000;
/** The server answers nothing at all. */
export const unreachable = signal(false);

export async function startSession(): Promise<void> {
  await loadConversations((id) => {
    const changed = conversationOf(id);
    if (changed !== undefined && id === openId.peek() && mayAsk.peek()) takeUp(changed);
  });
  let before = false;
  effect(() => {
    const now = mayAsk.value;
    if (now && !before) queueMicrotask(begin);
    before = now;
  });
  effect(() => {
    openId.value = route.value.view === "chat" ? route.value.id : undefined;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void find();
  });
  onWake(() => {
    void revive();
    void find();
  });
  await find();
}

/** Somebody may ask from now on. */
function begin(): void {
  takeUpAll();
  void refresh();
}

/** Models and their context, where no view follows them. */
async function refresh(): Promise<void> {
  if (feedState.peek() === "on") return;
  await look().catch(() => {
    // What needs it says so itself.
  });
}

async function find(): Promise<void> {
  await lookAround();
  unreachable.value = access.peek() === "unreachable";
  if (unreachable.peek()) setTimeout(() => void find(), retryMs);
}

export async function leave(): Promise<void> {
  await disconnect();
  await signOut();
}

export { connection };
