/** `mlx-serving/machines/Request`: from acceptance to its one end. The types are generated from `src-res/Request.resi`. */
export type {
  cause as Cause,
  clientEvent as ClientEvent,
  clockEvent as ClockEvent,
  effect as Effect,
  event as Event,
  failure as Failure,
  finish as Finish,
  lease as Lease,
  loss as Loss,
  outcome as Outcome,
  rejection as Rejection,
  schedulerEvent as SchedulerEvent,
  serverEvent as ServerEvent,
  state as State,
  storeEvent as StoreEvent,
  tally as Tally,
  tokenizerEvent as TokenizerEvent,
  workerEvent as WorkerEvent,
} from "../../src-res/Request.gen.js";
export {
  initial,
  initialStored,
  preparationDeathsMax,
  retriesBeforeAlone,
  retriesMax,
  transition,
} from "../../src-res/Request.gen.js";
