// expect: TS2540
// A state is replaced, never changed.
import type { Tally } from "mlx-serving/machines/Request";

export function reset(tally: Tally): void {
  tally.retriesWithoutProgress = 0;
}
