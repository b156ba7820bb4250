/** What the user types or pipes in. */
import { createInterface } from "node:readline";
import { outColors } from "../colors.js";

/** A second Ctrl-C at the empty prompt within this time leaves. */
const leaveWithinMs = 2_000;

/**
 * One line from the terminal; undefined when the user leaves (Ctrl-D, or Ctrl-C twice). The terminal is
 * ours only while we ask, so that Ctrl-C is a signal while an answer runs.
 */
export function askLine(prompt: string, history: string[]): Promise<string | undefined> {
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    history: [...history],
    prompt,
  });
  return new Promise((resolve) => {
    let interruptedAt = Number.NEGATIVE_INFINITY;
    let answer: string | undefined;
    terminal.on("SIGINT", () => {
      const wasEmpty = terminal.line === "";
      if (wasEmpty && performance.now() - interruptedAt < leaveWithinMs) return terminal.close();
      interruptedAt = wasEmpty ? performance.now() : Number.NEGATIVE_INFINITY;
      process.stdout.write(wasEmpty ? outColors.dim("\n(Ctrl-C again to leave)\n") : "\n");
      terminal.write(null, { ctrl: true, name: "e" });
      terminal.write(null, { ctrl: true, name: "u" });
      terminal.prompt();
    });
    terminal.on("line", (line) => {
      answer = line;
      if (line.trim() !== "") history.unshift(line);
      terminal.close();
    });
    terminal.on("close", () => {
      if (answer === undefined) process.stdout.write("\n");
      resolve(answer);
    });
    terminal.prompt();
  });
}

/** All of a piped input. */
export async function readAll(input: NodeJS.ReadStream): Promise<string> {
  let text = "";
  for await (const chunk of input.setEncoding("utf8")) text += chunk;
  return text.trim();
}
