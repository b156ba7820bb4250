// expect: TS2322
// One state is not handled.
import type { State } from "mlx-serving/machines/Batch";

export function isOver(state: State): boolean {
  switch (state.kind) {
    case "forming":
    case "running":
      return false;
    case "closed":
      return true;
    default: {
      const never: never = state;
      return never;
    }
  }
}
