/** What each agent needs to do the task: its tools' names and arguments, its flags for a run without questions. */
import { join } from "node:path";
import { callOf, task } from "./script.mjs";

const { command, prompt } = task;
const patch = [
  "apply_patch <<'EOF'",
  "*** Begin Patch",
  "*** Update File: notes.txt",
  "@@",
  "-the colour is blue",
  "+the colour is green",
  "*** End Patch",
  "EOF",
  "",
].join("\n");
// `launch` turns it on.
const overHttp = ["-c", "model_providers.mlx-serving.supports_websockets=false"];

/** @type {Record<string, { calls: (folder: string) => { read: string, run: string, edit: string }, args: (variant?: string) => string[] }>} */
export const agentTasks = {
  codex: {
    calls: () => ({
      read: callOf("exec_command", { cmd: "cat notes.txt" }),
      run: callOf("exec_command", { cmd: command }),
      edit: callOf("exec_command", { cmd: patch }),
    }),
    args: (variant) => [
      ...(variant === "websocket" ? [] : overHttp),
      ...["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt],
    ],
  },
  claude: {
    calls: (folder) => {
      const path = join(folder, "notes.txt");
      return {
        read: callOf("Read", { file_path: path }),
        run: callOf("Bash", { command, description: "Says that it ran" }),
        edit: callOf("Edit", { file_path: path, old_string: "blue", new_string: "green" }),
      };
    },
    args: () => ["-p", prompt, "--allowedTools", "Read,Bash,Edit"],
  },
  opencode: {
    calls: (folder) => {
      const filePath = join(folder, "notes.txt");
      return {
        read: callOf("read", { filePath }),
        run: callOf("bash", { command, description: "Says that it ran" }),
        edit: callOf("edit", { filePath, oldString: "blue", newString: "green" }),
      };
    },
    args: () => ["run", "--auto", prompt],
  },
  qwen: {
    calls: (folder) => {
      const path = join(folder, "notes.txt");
      return {
        read: callOf("read_file", { file_path: path }),
        run: callOf("run_shell_command", { command, is_background: false }),
        edit: callOf("edit", { file_path: path, old_string: "blue", new_string: "green" }),
      };
    },
    args: () => ["--yolo", prompt],
  },
  pi: {
    calls: () => ({
      read: callOf("read", { path: "notes.txt" }),
      run: callOf("bash", { command }),
      edit: callOf("edit", { path: "notes.txt", edits: [{ oldText: "blue", newText: "green" }] }),
    }),
    args: () => ["-p", prompt],
  },
};
