/** What a run prints at its end. */
import { memoryRule } from "./memory.mjs";

/**
 * @param {import("./world.mjs").World} world
 * @param {{ seconds: number, seed: number, what: string, restarts: number[], memory: import("./memory.mjs").MemoryWatch }} run
 */
export function reportOf({ ledger, pauses }, { seconds, seed, what, restarts, memory }) {
  return [
    `\nsoak: ${what}, seed ${seed}, ${seconds.toFixed(0)} s`,
    "\nrequests",
    ...outcomeLines(ledger),
    "\nfaults",
    ...[...ledger.faultCounts].map(([kind, count]) => row(kind, count)),
    row("restarts of the server", `${restarts.length}${spreadOf(restarts)}`),
    "\npause of a WebSocket stream from the fault to its next text, ms (p50, p99, max)",
    ...[...pauses.byKind].map(([kind, values]) => row(kind, pauseText(values))),
    "\nmemory, MiB (first quarter, last quarter, highest)",
    ...memoryLines(memory),
    `  ${memoryRule}`,
    `\nbroken promises: ${ledger.brokenCount}`,
    ...ledger.broken,
    "",
  ].join("\n");
}

/** The same as data. */
export function resultOf({ ledger, pauses }, { seconds, seed, what, restarts, memory }) {
  const outcomes = Object.fromEntries(
    [...ledger.outcomes].map(([kind, counts]) => [kind, Object.fromEntries(counts)]),
  );
  return {
    ...{ what, seed, seconds: Math.round(seconds), outcomes },
    faults: Object.fromEntries(ledger.faultCounts),
    restartMs: restarts.map(Math.round),
    pauseMs: Object.fromEntries([...pauses.byKind].map(([kind, all]) => [kind, figuresOf(all)])),
    memory: {
      server: memory.verdict("server") ?? null,
      workers: memory.verdict("workers") ?? null,
    },
    brokenPromises: ledger.brokenCount,
    broken: ledger.broken,
  };
}

function outcomeLines({ outcomes }) {
  return [...outcomes]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .flatMap(([kind, counts]) => {
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const parts = [...counts].map(([what, count]) => `${count} ${what}`);
      return row(kind, `${total}: ${parts.join(", ")}`);
    });
}

function memoryLines(memory) {
  return ["server", "workers"].map((who) => {
    const verdict = memory.verdict(who);
    if (verdict === undefined) return row(who, "too few samples to compare");
    const { first, last, max, isFlat } = verdict;
    const figures = [first, last, max].map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(", ");
    return row(who, `${figures}: ${isFlat ? "flat" : "GREW"}`);
  });
}

export function figuresOf(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

function pauseText(values) {
  const { count, p50, p99, max } = figuresOf(values);
  return `${p50}, ${p99}, ${max} (${count} times)`;
}

function spreadOf(values) {
  if (values.length === 0) return "";
  const { p50, max } = figuresOf(values);
  return ` (to the ready line: ${p50} ms in the middle, ${max} ms at most)`;
}

const row = (label, value) => `  ${label.padEnd(26)}${value}`;
