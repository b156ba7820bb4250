/** One turn of the orchestrator, for those who make something happen in it. */
import type { Input, RequestView, WorkerView } from "../../../src-ts/machines/Orchestrator.js";
import type { Draft } from "./draft.js";

export interface Turn {
  /** The world around it. */
  readonly draft: Draft;
  /** Waits until all commands before it are carried out. `at`: now, unless it says otherwise. */
  post(input: Input, at?: number): void;
  /** Turns, until there is nothing more to do. */
  end(): void;
  /** As the orchestrator shows them right now. */
  request(request: number): RequestView | undefined;
  worker(worker: number): WorkerView;
}
