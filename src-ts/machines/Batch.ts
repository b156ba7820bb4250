/** `mlx-serving/machines/Batch`: what one worker incarnation is running. The types are generated from `src-res/Batch.resi`. */
export type {
  budget as Budget,
  clockEvent as ClockEvent,
  cost as Cost,
  drainCause as DrainCause,
  effect as Effect,
  event as Event,
  member as Member,
  outcome as Outcome,
  rejection as Rejection,
  requestEvent as RequestEvent,
  resource as Resource,
  schedulerEvent as SchedulerEvent,
  state as State,
  terms as Terms,
  workerEvent as WorkerEvent,
} from "../../src-res/Batch.gen.js";
export { free, initial, members, transition } from "../../src-res/Batch.gen.js";
