/** What the fake engine says: a task of four turns (read a file, run a command, edit the file, answer), and single answers. */

export const task = {
  prompt: "TASK-7: bring notes.txt up to date.",
  before: "the colour is blue\n",
  after: "the colour is green\n",
  command: "echo ran-$((40 + 2)) | tee ran.txt",
  commandOutput: "ran-42\n",
  answer: "The notes say green now.",
};

export const callOf = (name, args) =>
  `<tool_call>${JSON.stringify({ name, arguments: args })}</tool_call>`;

/**
 * @typedef {{ when: string, say: string, tools?: boolean, repeat: boolean }} Entry
 */

/**
 * The turns are told apart by what came last, so that a request that is sent twice gets the same answer.
 * @returns {Entry[]}
 * @param {{ read: string, run: string, edit: string }} calls As the agent's own tools want them.
 */
export function taskScript({ read, run, edit }) {
  const turn = (when, say) => ({ when, say, tools: true, repeat: true });
  return [
    turn("TASK-7", `<think>The notes come first.</think>I look at the notes.${read}`),
    turn(task.before.trim(), run),
    turn(task.commandOutput.trim(), edit),
    turn("", task.answer),
    // Agents ask for a title beside.
    { when: "", say: "Notes", tools: false, repeat: true },
  ];
}

/** The tools that `tests/clients/support` has. */
const ownCalls = {
  read: callOf("read_file", { path: "notes.txt" }),
  run: callOf("run_command", { command: task.command }),
  edit: callOf("edit_file", { path: "notes.txt", old: "blue", new: "green" }),
};
const colour = { colour: "green", count: 3 };

/**
 * For libraries: the same task, and what their programs ask for by name.
 * @returns {Entry[]}
 */
export function libraryScript() {
  const single = (when, say, more = {}) => ({ when, say, repeat: true, ...more });
  return [
    single("SAY-1", "Hello from the script."),
    single("THINK-1", "<think>Let me think of it.</think>It is thought of."),
    // The name of the tool is in the prompt, since libraries choose it.
    ...["Colour", "final_result", "extract", "json"].map((name) =>
      single(`CALL-${name}-1`, callOf(name, colour), { tools: true }),
    ),
    single("SCHEMA-1", JSON.stringify(colour)),
    single("SLOW-1", "A long answer. ".repeat(200)),
    ...taskScript(ownCalls),
  ];
}
