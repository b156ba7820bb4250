/** Kills the worker once while it answers, and knows that it did. */

const lookEveryMs = 10;
/** The first answer may be a title; the second one is in the middle of the task. */
const disturbedAnswer = 2;
/** Into the answer, so that some of it has been said. */
const intoAnswerMs = 60;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Disturber {
  killed = 0;
  #stopped = false;
  #done;

  constructor(url) {
    this.#done = this.#watch(url);
  }

  async stop() {
    this.#stopped = true;
    await this.#done;
  }

  async #watch(url) {
    let answers = 0;
    let wasDecoding = false;
    while (!this.#stopped && this.killed === 0) {
      const worker = await workerOf(url);
      const isDecoding = worker?.decoding > 0;
      if (isDecoding && !wasDecoding) answers += 1;
      wasDecoding = isDecoding;
      if (isDecoding && answers >= disturbedAnswer) await this.#killIn(url);
      await wait(lookEveryMs);
    }
  }

  /** Only a worker that is still at it: otherwise the next answer has its turn. */
  async #killIn(url) {
    await wait(intoAnswerMs);
    const worker = await workerOf(url);
    if (!(worker?.decoding > 0) || worker.pid === undefined) return;
    process.kill(worker.pid, "SIGKILL");
    this.killed += 1;
  }
}

/** Undefined where the server doesn't answer: it is looked at again soon, and whether it serves is the client's to see. */
async function workerOf(url) {
  try {
    const answer = await fetch(`${url}/admin/workers`);
    const [worker] = await answer.json();
    return worker;
  } catch {
    return undefined;
  }
}
