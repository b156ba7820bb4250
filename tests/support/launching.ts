/** Workers of tests: one object that is a process and its link at once. */
import type {
  LaunchedProcess,
  Launcher,
  LaunchSpec,
  Link,
  LinkEvents,
  ProcessEvents,
} from "../../src-ts/worker/launcher.js";

export type WorkerEvents = ProcessEvents & LinkEvents;
export type OneWorker = LaunchedProcess & Link;

export function launcherOf(
  launch: (spec: LaunchSpec, events: WorkerEvents) => OneWorker,
): Launcher {
  return {
    launch: (spec, process, link) => {
      const worker = launch(spec, { ...process, ...link });
      return { process: worker, link: worker };
    },
  };
}
