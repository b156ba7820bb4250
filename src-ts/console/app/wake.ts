/** Notices that the machine or the browser has slept: by its clock, which has gone on, and its timers, which have not. */

const tickMs = 10_000;
/** A hidden page's timers may run once a minute only. */
const sleptMsMin = 120_000;

export function onWake(callback: () => void): void {
  let tickedAt = Date.now();
  setInterval(() => {
    const now = Date.now();
    const hasSlept = now - tickedAt >= sleptMsMin;
    tickedAt = now;
    if (hasSlept) callback();
  }, tickMs);
}
