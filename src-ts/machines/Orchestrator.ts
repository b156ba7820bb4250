/** `mlx-serving/machines/Orchestrator`: the composition of the machines. The types are generated from `src-res/Orchestrator.resi`. */
export type {
  admitted as Admitted,
  explanation as Explanation,
  mistake as Mistake,
} from "../../src-res/Command.gen.js";
export type {
  limits as Limits,
  restored as Restored,
  row as Row,
  submission as Submission,
} from "../../src-res/Input.gen.js";
export type {
  command as Command,
  config as Config,
  input as Input,
  requestView as RequestView,
  t as Orchestrator,
  view as View,
  workerView as WorkerView,
} from "../../src-res/Orchestrator.gen.js";
export {
  copy,
  handle,
  isDraining,
  make,
  view,
  viewRequest,
  viewWorker,
} from "../../src-res/Orchestrator.gen.js";
