/** `mlx-serving/machines/Worker`: one process and its incarnations. The types are generated from `src-res/Worker.resi`. */
export type {
  clockEvent as ClockEvent,
  effect as Effect,
  event as Event,
  fault as Fault,
  intent as Intent,
  linkEvent as LinkEvent,
  liveness as Liveness,
  memory as Memory,
  outcome as Outcome,
  pendingEvent as PendingEvent,
  policy as Policy,
  processEvent as ProcessEvent,
  rejection as Rejection,
  signal as Signal,
  state as State,
  supervisorEvent as SupervisorEvent,
  timer as Timer,
  workerEvent as WorkerEvent,
} from "../../src-res/Worker.gen.js";
export { defaultPolicy, initial, protocol, transition } from "../../src-res/Worker.gen.js";
