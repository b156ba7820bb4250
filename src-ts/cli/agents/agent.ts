/** What there is to know of a coding agent: how it is found, and how one run of it is pointed at a server. */

/** The server and the model that an agent is to use. */
export interface Target {
  /** Without a path, such as `http://127.0.0.1:8088`. */
  url: string;
  model: string;
  apiKey: string | undefined;
  /** What prompt and answer may have together; undefined: the server doesn't say. */
  contextTokens: number | undefined;
}

/** Of one run. Nothing of it is written where the agent keeps its own configuration. */
export interface AgentRun {
  /** Before the user's own. */
  args: readonly string[];
  /** Undefined: taken out of the environment. */
  env: Readonly<Record<string, string | undefined>>;
}

export interface Agent {
  name: string;
  /** What it calls itself. */
  title: string;
  executable: string;
  /** The command that installs it. */
  install: string;
  /** `folder`: a temporary one, of this run alone. */
  prepare(target: Target, folder: string): AgentRun;
}

/** For agents that want a key where the server wants none. */
export const noKey = "none";
