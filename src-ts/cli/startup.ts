/** Shows how a server comes up: a progress bar on a terminal, log lines elsewhere. Always on stderr. */
import { SingleBar } from "cli-progress";
import { errColors } from "../colors.js";
import type { Engine } from "../engine/api.js";
import type { ServerLogger } from "../server/index.js";

export interface StartupDisplay {
  /** Writes log text above the bar. */
  print(text: string): void;
  /** What is being fetched or made before the engine can start. */
  progress(text: string, logger: ServerLogger): void;
  /** Shows the loading of the models, until `end`. */
  follow(engine: Engine, logger: ServerLogger): void;
  end(): void;
}

const clearLine = "\r\x1b[2K";
/** Loading is logged in steps of this share. */
const loggedShare = 0.25;
/** A progress that changes only in its figures is logged so often. */
const progressEveryMs = 60_000;

export function createStartupDisplay(stream: NodeJS.WriteStream = process.stderr): StartupDisplay {
  return stream.isTTY ? new TerminalDisplay(stream) : new PlainDisplay(stream);
}

class TerminalDisplay implements StartupDisplay {
  private bar: SingleBar | undefined;
  private line = "";
  private unfollow: (() => void) | undefined;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  print(text: string): void {
    const showing = this.bar !== undefined || this.line !== "";
    this.stream.write(showing ? clearLine + text + this.line : text);
  }

  progress(text: string): void {
    this.line = errColors.dim(text.slice(0, (this.stream.columns || 80) - 1));
    this.stream.write(clearLine + this.line);
  }

  follow(engine: Engine): void {
    // A worker says nothing until its interpreter has started.
    this.progress("starting a worker");
    this.unfollow = engine.observe({
      loading: ({ model, done, total, what }) => {
        if (this.bar === undefined) this.clear();
        this.bar ??= this.createBar(total, { model, what });
        this.bar.setTotal(total);
        this.bar.update(done, { model, what });
      },
    });
  }

  end(): void {
    this.unfollow?.();
    this.unfollow = undefined;
    this.clear();
  }

  private clear(): void {
    if (this.line !== "") this.stream.write(clearLine);
    this.line = "";
    this.bar?.stop();
    this.bar = undefined;
  }

  private createBar(total: number, shown: { model: string; what: string }): SingleBar {
    const bar = new SingleBar({
      stream: this.stream,
      format: `${errColors.dim("loading")} {model} ${errColors.green("{bar}")} {percentage}%  {what}`,
      barCompleteChar: "━",
      barIncompleteChar: " ",
      barsize: 30,
      clearOnComplete: true,
      linewrap: true,
    });
    bar.start(total, 0, shown);
    return bar;
  }
}

class PlainDisplay implements StartupDisplay {
  private said = "";
  private saidAt = 0;
  private unfollow: (() => void) | undefined;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  print(text: string): void {
    this.stream.write(text);
  }

  progress(text: string, logger: ServerLogger): void {
    const kind = text.replace(/\d+/g, "#");
    const now = performance.now();
    if (kind === this.said && now - this.saidAt < progressEveryMs) return;
    this.said = kind;
    this.saidAt = now;
    logger.info(text);
  }

  follow(engine: Engine, logger: ServerLogger): void {
    const logged = new Map<string, string>();
    this.unfollow = engine.observe({
      loading: ({ workerId, model, done, total, what }) => {
        const steps = total > 0 ? Math.floor(done / total / loggedShare) : 0;
        const step = `${what} ${steps}`;
        if (logged.get(workerId) === step) return;
        logged.set(workerId, step);
        logger.info({ worker: workerId, model, done, total }, `loading: ${what}`);
      },
    });
  }

  end(): void {
    this.unfollow?.();
    this.unfollow = undefined;
  }
}
