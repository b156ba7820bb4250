/** Grammars as workers have them, asked by a test: see tests/python/support/grammar_machine.py. */
import { type ChildProcess, spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const root = resolve(import.meta.dirname, "../..");

/** Either answer may be a refusal instead. */
export type Outcome<T> = T | { refused: string };

export class GrammarMachine {
  private readonly process: ChildProcess;
  private readonly lines: AsyncIterator<string>;
  private last: Promise<unknown> = Promise.resolve();

  constructor() {
    const script = join(root, "tests/python/support/grammar_machine.py");
    const python = join(root, "python/.venv/bin/python");
    this.process = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  /** Texts of it, made at random; null for one that found no end. */
  made(text: string, count: number, seed: number, kind = "json") {
    return this.ask<{ made: (string | null)[] }>({ kind, text, count, seed });
  }

  takes(text: string, texts: readonly string[], kind = "json") {
    return this.ask<{ takes: boolean[] }>({ kind, text, texts });
  }

  private ask<T>(question: object): Promise<Outcome<T>> {
    const asked = this.last.then(async () => {
      this.process.stdin!.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await this.lines.next();
      if (done) throw new Error("the process with the grammars has ended");
      return JSON.parse(value) as Outcome<T>;
    });
    this.last = asked.catch(() => undefined);
    return asked;
  }

  [Symbol.dispose](): void {
    this.process.stdin!.end();
  }
}
