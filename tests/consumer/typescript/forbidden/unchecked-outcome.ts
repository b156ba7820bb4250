// expect: TS2339
// A rejected event has no next state.
import { initial, type State, transition } from "mlx-serving/machines/Request";

export const next: State = transition(initial, { kind: "cancel" }).state;
