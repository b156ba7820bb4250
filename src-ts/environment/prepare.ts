/** Everything that an engine needs on this machine before it starts: Python, the models, the native parts. */
import type { ModelSource } from "../worker/messages.js";
import type { PythonCommand } from "../worker/process.js";
import { ensureModels } from "./models.js";
import { ensureNativeParts, type NativeWish } from "./native.js";
import { type EnvironmentOptions, ensurePython } from "./python.js";

/**
 * Makes what isn't there. Rejects with SetupError, or AbortError after `signal`, once nothing of it runs any
 * more; native parts that can't be built are a note, and no rejection.
 */
export async function prepare(
  models: readonly ModelSource[],
  wish: NativeWish,
  options: EnvironmentOptions,
): Promise<PythonCommand> {
  const python = await ensurePython(options);
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  const tell = sideBySide(options.onProgress);
  // One computes while the other downloads.
  const building = tell("native parts", (onProgress) =>
    ensureNativeParts(wish, { ...options, signal, onProgress }),
  );
  try {
    await tell("embedded model", (onProgress) =>
      ensureModels(models, { ...options, signal, onProgress }),
    );
  } catch (error) {
    failed.abort();
    await building.catch(() => {});
    throw error;
  }
  await building;
  return python;
}

type Tell = EnvironmentOptions["onProgress"];

/** What several things say of themselves at once, as one line. */
function sideBySide(onProgress: Tell) {
  const texts = new Map<string, string>();
  return async (what: string, work: (tell: Tell) => Promise<void>): Promise<void> => {
    const tell: Tell = (text) => {
      texts.set(what, `${what}: ${text}`);
      onProgress?.([...texts.values()].join(" · "));
    };
    try {
      await work(tell);
    } finally {
      texts.delete(what);
    }
  };
}
