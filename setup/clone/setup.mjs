/** The set-up of a clone, from nothing to something that runs. Each step is done once for its inputs. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { acquireLock } from "../lock.mjs";
import { ensureEmbeddedModel, isEmbeddedModelReady } from "../model.mjs";
import { ensureNative, isNativeSettled } from "../native/build.mjs";
import { failureLines } from "../native/reasons.mjs";
import { checkPlatform } from "../platform.mjs";
import { ensureEnvironment, isEnvironmentReady, isForeign } from "../python.mjs";
import { logOf, nodeSteps, packagesStep, setupFolder } from "./node.mjs";
import { createProgress } from "./progress.mjs";
import { runSteps } from "./steps.mjs";

/**
 * @typedef {{ model: boolean, native: boolean | "with tests", tests?: boolean }} Wanted `model`: whether the
 *   embedded model will be served; `native`: whether native parts will be used, or their own tests run too;
 *   `tests`: whether tests and checks will be run (default: true).
 */

/**
 * Does what isn't done yet. Rejects with SetupError, or with AbortError after `signal`; either way
 * nothing half-done is taken for done afterwards.
 * @param {Wanted & { signal: AbortSignal }} options
 * @returns {Promise<void>}
 */
export async function setUp({ signal, ...wanted }) {
  checkPlatform();
  await settle(plan(wanted), signal);
}

/**
 * The npm packages alone, those of tests and checks among them: for what needs nothing built.
 * @param {{ signal: AbortSignal }} options
 * @returns {Promise<void>}
 */
export async function installPackages({ signal }) {
  checkPlatform();
  await settle([packagesStep({ tests: true })], signal);
}

async function settle(steps, signal) {
  const stale = steps.filter((step) => !step.fresh());
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
    await runSteps(steps, { signal, progress });
  } finally {
    progress.close();
    release();
  }
}

function plan({ model, native, tests = true }) {
  const nativeSteps = native ? [nativeStep(native === "with tests")] : [];
  return [...nodeSteps({ tests }), ...pythonSteps(model), ...nativeSteps];
}

/** Never fails: whatever can't be built, the server works without. */
function nativeStep(tests) {
  return {
    id: "native",
    title: "native parts",
    needs: ["python"],
    // Nothing is put into an environment that is the user's own, unless they ask (npm run build:native).
    fresh: () => isForeign() || isNativeSettled(process.env, { tests }),
    run: async (context) => {
      const results = await ensureNative({ ...context, tests, logFile: logOf("native") });
      const failures = failureLines(results);
      for (const line of failures) context.note(`${line}. Going on without.`);
      return failures.length === 0;
    },
  };
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
