/** The set-up of a clone, from nothing to something that runs. Each step is done once for its inputs. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { acquireLock } from "./lock.mjs";
import { ensureEmbeddedModel, isEmbeddedModelReady } from "./model.mjs";
import { logOf, nodeSteps, setupFolder } from "./node.mjs";
import { checkPlatform } from "./platform.mjs";
import { createProgress } from "./progress.mjs";
import { ensureEnvironment, isEnvironmentReady } from "./python.mjs";
import { runSteps } from "./steps.mjs";

/**
 * Does what isn't done yet. Rejects with SetupError, or with AbortError after `signal`; either way
 * nothing half-done is taken for done afterwards.
 * @param {{ model: boolean, signal: AbortSignal }} options `model`: whether the embedded model will be served.
 * @returns {Promise<void>}
 */
export async function setUp({ model, signal }) {
  checkPlatform();
  const stale = plan(model).filter((step) => !step.fresh());
  if (stale.length === 0) return;
  mkdirSync(setupFolder, { recursive: true });
  const progress = createProgress({ total: stale.length });
  let release = () => {};
  try {
    release = await acquireLock(join(setupFolder, "lock"), {
      signal,
      onWait: (holder) => progress.note(`Waiting for another set-up of this folder (${holder}).`),
    });
    for (const step of stale) rmSync(logOf(step.id), { force: true });
    await runSteps(plan(model), { signal, progress });
  } finally {
    progress.close();
    release();
  }
}

function plan(model) {
  return [...nodeSteps(), ...pythonSteps(model)];
}

/** The model's download needs no environment, only its conversion does: the two run side by side. */
function pythonSteps(model) {
  let environment = Promise.resolve("");
  const environmentStep = {
    id: "python",
    title: "Python packages",
    needs: [],
    fresh: () => isEnvironmentReady(),
    run: (context) => {
      environment = ensureEnvironment({ ...context, logFile: logOf("python") });
      return environment;
    },
  };
  const modelStep = {
    id: "model",
    title: "embedded model",
    needs: [],
    fresh: () => isEmbeddedModelReady(),
    run: (context) =>
      ensureEmbeddedModel({
        ...context,
        logFile: logOf("model"),
        interpreter: () => environment.then((path) => path || ensureEnvironment(context)),
      }),
  };
  return model ? [environmentStep, modelStep] : [environmentStep];
}
