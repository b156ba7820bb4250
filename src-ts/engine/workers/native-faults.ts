/** Native code that kills its worker: counts such deaths and says when to go on without it. Knows no process. */
import type { NativeParts } from "../../worker/figures.js";

/** How native code dies; a bug in Python raises. */
const nativeSignals: ReadonlySet<string> = new Set([
  "SIGSEGV",
  "SIGBUS",
  "SIGILL",
  "SIGFPE",
  "SIGABRT",
]);
const nativeDeathsMax = 2;

export class NativeFaults {
  /** Why native parts are off from now on; undefined while they may be on. */
  verdict: string | undefined;
  private deaths = 0;

  /** `parts`: what the dead incarnation used. True when this death turns them off. */
  died(signal: string, parts: NativeParts | undefined): boolean {
    if (this.verdict !== undefined || !nativeSignals.has(signal) || !mayBeOn(parts)) return false;
    this.deaths++;
    if (this.deaths < nativeDeathsMax) return false;
    this.verdict = `turned off after ${this.deaths} deaths of the worker, the last by ${signal}`;
    return true;
  }
}

// Who died while loading has not said what it uses, and may have died of just that.
function mayBeOn(parts: NativeParts | undefined): boolean {
  return parts === undefined || Object.values(parts).some(({ on }) => on);
}
