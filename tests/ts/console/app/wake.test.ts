/** A sleep is a gap between two ticks of a timer that is longer than any browser makes it. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { onWake } from "../../../../src-ts/console/app/wake.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("is told once a sleep, and not by timers that run slowly", () => {
  let woken = 0;
  onWake(() => void woken++);
  vi.advanceTimersByTime(600_000);
  // A hidden page ticks once a minute.
  vi.setSystemTime(Date.now() + 60_000);
  vi.advanceTimersByTime(10_000);
  expect(woken).toBe(0);
  vi.setSystemTime(Date.now() + 3_600_000);
  vi.advanceTimersByTime(10_000);
  expect(woken).toBe(1);
  vi.advanceTimersByTime(600_000);
  expect(woken).toBe(1);
});
