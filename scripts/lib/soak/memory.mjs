/** Memory of the server and of its workers, sampled each second; the first quarter against the last. */

const periodMs = 1_000;
/** A process that has just started hasn't grown to its size yet. */
const settledAfterMs = 3_000;
const growthFactorMax = 1.25;
const growthBytesMax = 32 * 2 ** 20;
const samplesMin = 8;

/** The rule of the verdict, in words. */
export const memoryRule =
  `flat: the median of the last quarter is at most ${growthFactorMax} times that of the first and ` +
  `${growthBytesMax / 2 ** 20} MiB more; only samples of processes older than ${settledAfterMs / 1000} s count`;

export class MemoryWatch {
  /** @type {{ server: number, workers: number }[]} */
  samples = [];
  #timer;

  /**
   * @param {import("./program.mjs").Program} program
   * @param {(pid: number) => Promise<{ ownBytes: number, treeBytes: number } | undefined>} treeMemory
   */
  constructor(program, treeMemory) {
    this.#timer = setInterval(async () => {
      const { pid, readyAt } = program;
      if (pid === undefined || performance.now() - readyAt < settledAfterMs) return;
      const memory = await treeMemory(pid);
      if (memory === undefined || pid !== program.pid) return;
      const { ownBytes, treeBytes } = memory;
      this.samples.push({ server: ownBytes, workers: treeBytes - ownBytes });
    }, periodMs);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Undefined where there is too little to compare. */
  verdict(who) {
    const values = this.samples.map((sample) => sample[who]);
    if (values.length < samplesMin) return undefined;
    const quarter = Math.floor(values.length / 4);
    const first = median(values.slice(0, quarter));
    const last = median(values.slice(-quarter));
    const isFlat = last <= first * growthFactorMax + growthBytesMax;
    return { first, last, max: Math.max(...values), isFlat };
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
