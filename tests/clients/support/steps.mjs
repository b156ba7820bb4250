/** What a program of this folder does, step by step; its last line tells `scripts/lib/clients/run.mjs` of each. */

const problemCharsMax = 200;

export const url = process.env.CLIENT_URL;
export const model = process.env.CLIENT_MODEL;

/** @param {Record<string, () => unknown>} steps Each gives what it saw, which must be the same in every run. */
export async function runSteps(steps) {
  const told = [];
  for (const [step, work] of Object.entries(steps)) told.push({ step, ...(await outcomeOf(work)) });
  process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0));
}

async function outcomeOf(work) {
  try {
    return { saw: (await work()) ?? null };
  } catch (error) {
    process.stderr.write(`${error?.stack ?? error}\n`);
    return { problem: String(error?.message ?? error).slice(0, problemCharsMax) };
  }
}

/** Throws with both where they differ. */
export function same(actual, expected) {
  const [is, wanted] = [actual, expected].map((one) => JSON.stringify(one));
  if (is !== wanted) throw new Error(`${is} instead of ${wanted}`);
  return actual;
}

export const greeting = "Hello from the script.";
export const colour = { colour: "green", count: 3 };
