/** The hook: a store for as long as its component is on the page. */
import { useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from "react";
import {
  createResponseStore,
  type ResponseSource,
  type ResponseState,
  type ResponseStore,
  type ResponseStoreOptions,
} from "../browser/index.js";

/** The state, and orders that stay the same from one rendering to the next. */
export type UsedResponse = ResponseState &
  Pick<ResponseStore, "send" | "resume" | "stop" | "reset">;

/**
 * One response at a time, shown as it comes: once a frame. What runs is cancelled when the component goes, or when
 * it names another source.
 *
 * @param source A client, an address, or a function that gives a client; of the last two, give the same one at each
 *   rendering.
 * @param options Read when the component appears, and with another source.
 *
 * @example
 * const { text, running, send, stop } = useResponse("http://127.0.0.1:8088");
 */
export function useResponse(
  source: ResponseSource,
  options: ResponseStoreOptions = {},
): UsedResponse {
  const key = keyOf(source);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a URL or options made anew are the same source
  const store = useMemo(() => createResponseStore(source, options), [key]);
  const hasGone = useHasGone();
  useEffect(() => store.dispose, [store]);
  const { subscribe, getSnapshot, getServerSnapshot } = store;
  const state = useSyncExternalStore(subscribe, getSnapshot, getServerSnapshot);
  const orders = useMemo(() => {
    const { send, resume, stop, reset } = store;
    const unlessGone: Pick<ResponseStore, "send" | "resume"> = {
      send: async (body, asked) => (hasGone.current ? undefined : send(body, asked)),
      resume: async (responseId) => (hasGone.current ? undefined : resume(responseId)),
    };
    return { ...unlessGone, stop, reset };
  }, [store, hasGone]);
  return { ...state, ...orders };
}

/** Two `URL`s of one address are one source. */
const keyOf = (source: ResponseSource): unknown =>
  typeof source === "object" && "href" in source ? source.href : source;

/**
 * Whether the component is gone for good: what would be asked for then, nobody would cancel. StrictMode takes other
 * effects away and brings them back, but not these.
 */
function useHasGone(): { readonly current: boolean } {
  const hasGone = useRef(false);
  useInsertionEffect(() => {
    hasGone.current = false;
    return () => {
      hasGone.current = true;
    };
  }, []);
  return hasGone;
}
