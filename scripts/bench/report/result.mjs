/** What is kept of a run: each scenario with when, where and how it was measured, so that one alone can be made again. */

/**
 * @typedef {{ id: string, title: string, version?: string, command: string }} ShownServer
 * @typedef {{ measuredAt: string, commit: string | null, command: string, size: string }} Origin
 * @typedef {{
 *   machine: Record<string, string | number>,
 *   servers: ShownServer[],
 *   scenarios: (import("../outcomes.mjs").Measured & Origin)[],
 * }} Result
 */

/**
 * @param {{
 *   scenarios: readonly import("../outcomes.mjs").Measured[],
 *   servers: ShownServer[],
 *   stamp: { measuredAt: string, commit: string | null, machine: Record<string, string | number> },
 *   command: string,
 *   size: string,
 * }} run
 * @returns {Result}
 */
export function resultOf({ scenarios, servers, stamp, command, size }) {
  const { measuredAt, commit, machine } = stamp;
  return {
    machine,
    servers,
    scenarios: scenarios.map((scenario) => ({ ...scenario, measuredAt, commit, command, size })),
  };
}

/**
 * A new result with those scenarios of an older one that were not measured again; of another machine none.
 * @param {Result | undefined} older
 * @param {Result} newer
 * @param {readonly string[]} order Ids of scenarios.
 * @returns {Result}
 */
export function merged(older, newer, order) {
  if (older === undefined || !isSameMachine(older.machine, newer.machine)) return newer;
  const { scenarios, servers } = newer;
  const isNew = (list) => (one) => !list.some(({ id }) => id === one.id);
  const all = [...scenarios, ...older.scenarios.filter(isNew(scenarios))];
  return {
    machine: newer.machine,
    servers: [...servers, ...older.servers.filter(isNew(servers))],
    scenarios: all.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id)),
  };
}

const isSameMachine = (a, b) =>
  ["platform", "arch", "cpus", "cpu"].every((field) => a[field] === b[field]);
