/** Runs the steps of the set-up in the order of their needs, those that need nothing of each other at once. */

/**
 * @typedef {{
 *   signal: AbortSignal,
 *   detail: (text: string) => void,
 *   note: (text: string) => void,
 * }} StepContext
 * @typedef {{
 *   id: string,
 *   title: string,
 *   needs: readonly string[],
 *   fresh: () => boolean,
 *   run: (context: StepContext) => Promise<unknown>,
 * }} Step `fresh`: already done with the present inputs; asked again right before it would run; `run`
 *   resolves with false if it is optional and could not be done.
 */

/**
 * The first failure aborts the others; it is thrown once all of them have ended.
 * @param {readonly Step[]} steps
 * @param {{ signal: AbortSignal, progress: import("./progress.mjs").Progress }} options
 * @returns {Promise<void>}
 */
export async function runSteps(steps, { signal, progress }) {
  const abort = new AbortController();
  const stop = () => abort.abort();
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  let failure;
  const runs = new Map();
  const start = (step) => {
    const known = runs.get(step.id);
    if (known !== undefined) return known;
    const needs = steps.filter((other) => step.needs.includes(other.id));
    const run = Promise.all(needs.map(start)).then(() => runOne(step, abort.signal, progress));
    runs.set(step.id, run);
    run.catch((error) => {
      failure ??= error;
      stop();
    });
    return run;
  };
  await Promise.allSettled(steps.map(start));
  signal.removeEventListener("abort", stop);
  if (failure !== undefined) throw failure;
}

async function runOne(step, signal, progress) {
  signal.throwIfAborted();
  if (step.fresh()) return;
  progress.begin(step.id, step.title);
  const done = await step.run({
    signal,
    detail: (text) => progress.detail(step.id, text),
    note: (text) => progress.note(text),
  });
  progress.end(step.id, done !== false);
}
