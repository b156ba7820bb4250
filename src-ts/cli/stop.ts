/** When the process shall stop: the first signal asks, or the end of the npm that runs us; a second one ends it at once. */
import { followParent } from "./parent.js";

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
type StopSignal = keyof typeof exitCodes;

/** On Ctrl-C npm passes on the signal that the terminal has sent to everybody: the same one, twice. */
const echoMs = 1_000;

export class StopSignals {
  /** Resolves with the first request to stop. */
  readonly requested: Promise<void>;
  private readonly abort = new AbortController();
  private resolve: () => void = () => {};
  private first: { reason: string; at: number } | undefined;

  constructor(
    private readonly onStop: (reason: string) => void,
    private readonly underNpm = process.env.npm_lifecycle_event !== undefined,
  ) {
    this.requested = new Promise((resolve) => {
      this.resolve = resolve;
    });
    for (const name of Object.keys(exitCodes) as StopSignal[]) {
      process.on(name, () => this.receive(name));
    }
    followParent(() => this.request("the end of npm"));
  }

  /** Aborts with the first request: for what is still starting. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  request(reason: string): void {
    if (this.first !== undefined) return;
    this.first = { reason, at: performance.now() };
    this.onStop(reason);
    this.abort.abort();
    this.resolve();
  }

  private receive(name: StopSignal): void {
    if (this.first === undefined) return this.request(name);
    const echo = this.underNpm && name === this.first.reason;
    if (echo && performance.now() - this.first.at < echoMs) return;
    // Workers end with their link.
    process.exit(exitCodes[name]);
  }
}
