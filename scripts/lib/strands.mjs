/**
 * Suites in two strands. Some compute on all cores, the others start processes and wait for them: one of each beside
 * the other keeps two cores busy. A third strand takes as long, and everything in it waits longer.
 */

/**
 * @template {{ waits?: boolean }} S
 * @template R
 * @param {readonly S[]} suites In the order in which each kind begins.
 * @param {(suite: S) => Promise<R>} run
 * @returns {Promise<R[]>} In the order of the suites. Of the last ones two may be of a kind.
 */
export async function inStrands(suites, run) {
  const left = [...suites];
  const results = new Map();
  const strand = async (waits) => {
    while (left.length > 0) {
      const own = left.findIndex((suite) => (suite.waits ?? false) === waits);
      const [suite] = left.splice(Math.max(0, own), 1);
      results.set(suite, await run(suite));
    }
  };
  await Promise.all([strand(false), strand(true)]);
  return suites.map((suite) => results.get(suite));
}
