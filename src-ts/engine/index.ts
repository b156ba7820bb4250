/** The orchestrator and its workers, composed from ports; `create-engine.ts` brings the real ones. */
import { pythonLauncher, type WorkerProcessOptions } from "../worker/process.js";
import type { Engine, EngineOptions } from "./api.js";
import { systemClock, systemIds } from "./clock.js";
import { WorkerEngine } from "./engine.js";
import type { Ports } from "./ports.js";

export { ServingError } from "../errors.js";
export type {
  Launched,
  LaunchedProcess,
  Launcher,
  LaunchSpec,
  Link,
  LinkEvents,
  ProcessEvents,
} from "../worker/launcher.js";
export type * from "./api.js";
export type { Clock, Ids, Ports, Timer } from "./ports.js";

/** The real ports: system clock, random ids, Python processes. */
export function systemPorts(options: WorkerProcessOptions): Ports {
  return {
    clock: systemClock,
    ids: systemIds,
    random: Math.random,
    launcher: pythonLauncher(options),
  };
}

/** Starts an engine and its workers. It loads in the background: `whenReady` tells when it is done. */
export function startEngine(options: EngineOptions, ports: Ports): Engine {
  const engine = new WorkerEngine(options, ports);
  engine.start();
  return engine;
}
