/** Ctrl-C while something is fetched or started: it ends what runs for us, then the command. */
import { CommandError } from "./failure.js";
import { followParent } from "./parent.js";

export const interruptedCode = 130;

/** `signal` is aborted by SIGINT, SIGTERM and the end of the npm that runs us; then the result is a rejection, whatever `work` makes of it. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const interrupted = new CommandError("Interrupted.", interruptedCode);
  const stop = () => abort.abort(interrupted);
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const unfollow = followParent(stop);
  try {
    return await work(abort.signal);
  } catch (error) {
    throw abort.signal.aborted ? interrupted : error;
  } finally {
    unfollow();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
