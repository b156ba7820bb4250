/** `mlx-serving/machines/Scheduler`: who goes where now. The types are generated from `src-res/Scheduler.resi`. */
export type {
  decision as Decision,
  item as Item,
  planInput as PlanInput,
  planned as Planned,
  policy as Policy,
  prefix as Prefix,
  priority as Priority,
  running as Running,
  share as Share,
  worker as Worker,
} from "../../src-res/Scheduler.gen.js";
export { defaultPolicy, plan } from "../../src-res/Scheduler.gen.js";
