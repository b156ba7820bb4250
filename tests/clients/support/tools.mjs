/** The tools of the task, on the folder that the program runs in. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { same } from "./steps.mjs";

export const taskPrompt = "TASK-7: bring notes.txt up to date.";
export const taskAnswer = "The notes say green now.";

const text = { type: "string" };
const parametersOf = (...names) => ({
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, text])),
  required: names,
  additionalProperties: false,
});

/** By name: what it is, and what it does. */
export const tools = {
  read_file: {
    description: "Reads a file",
    parameters: parametersOf("path"),
    run: ({ path }) => readFileSync(path, "utf8"),
  },
  run_command: {
    description: "Runs a command in a shell",
    parameters: parametersOf("command"),
    run: ({ command }) => execFileSync("sh", ["-c", command], { encoding: "utf8" }),
  },
  edit_file: {
    description: "Replaces a text in a file",
    parameters: parametersOf("path", "old", "new"),
    run: ({ path, old, new: now }) => {
      writeFileSync(path, readFileSync(path, "utf8").replace(old, now));
      return `edited ${path}`;
    },
  },
};

export const callTool = (name, args) => tools[name].run(args);

/** Does the task from its beginning and sees that it is done. `work` gives the last answer. */
export async function doTask(work) {
  writeFileSync("notes.txt", "the colour is blue\n");
  rmSync("ran.txt", { force: true });
  same(await work(), taskAnswer);
  same(readFileSync("notes.txt", "utf8"), "the colour is green\n");
  same(readFileSync("ran.txt", "utf8"), "ran-42\n");
  return taskAnswer;
}
