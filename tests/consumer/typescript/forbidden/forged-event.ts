// expect: TS2322
// What a client may say has no tokens in it.
import type { ClientEvent } from "mlx-serving/machines/Request";

export const forged: ClientEvent = {
  kind: "tokens",
  lease: { workerId: "w", epoch: 1 },
  index: 0,
  count: 1,
};
