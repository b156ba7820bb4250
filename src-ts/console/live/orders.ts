/** What the buttons of the live view order, and what is said about it. */

import { orders } from "../server/api.js";
import { t } from "../strings.js";
import { notify } from "../ui/notices.js";

async function give(order: Promise<unknown>, said: string | undefined): Promise<void> {
  try {
    await order;
    if (said !== undefined) notify(said);
  } catch (error) {
    notify(t.live.orderFailed((error as Error).message));
  }
}

export const cancelRequest = (id: string): Promise<void> =>
  give(orders.cancel(id), t.live.cancelled(id));
export const killWorker = (id: string): Promise<void> =>
  give(orders.kill(id), t.live.worker.killed(id));
export const restartWorker = (id: string): Promise<void> =>
  give(orders.restart(id), t.live.worker.restarting(id));
export const drain = (): Promise<void> => give(orders.drain(), undefined);
