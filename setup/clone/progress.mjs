/** Shows what the set-up does on stderr: one live line on a terminal, plain lines elsewhere. */

/** Of what still runs, where every line stays. */
const plainReminderMs = 60_000;
const redrawMs = 120;

/**
 * @typedef {{
 *   begin(id: string, title: string): void,
 *   detail(id: string, text: string): void,
 *   end(id: string, done: boolean): void,
 *   note(text: string): void,
 *   close(): void,
 * }} Progress
 */

/**
 * @param {{ total: number, stream?: NodeJS.WriteStream, env?: NodeJS.ProcessEnv }} options `total`: how many steps there are to do.
 * @returns {Progress}
 */
export function createProgress({ total, stream = process.stderr, env = process.env }) {
  const live = Boolean(stream.isTTY) && env.TERM !== "dumb";
  const paint =
    live && !env.NO_COLOR ? (code, text) => `\x1b[${code}m${text}\x1b[0m` : (_code, text) => text;
  const running = new Map();
  let done = 0;

  const line = () => {
    const parts = [...running.values()].map(({ title, detail, since }) => {
      const seconds = Math.floor((Date.now() - since) / 1000);
      return `${title}${detail === "" ? "" : `: ${detail}`}${seconds < 2 ? "" : ` (${seconds} s)`}`;
    });
    return `set-up ${Math.min(done + 1, total)}/${total}  ${parts.join("  ·  ")}`;
  };
  const clear = () => live && stream.write("\r\x1b[2K");
  const draw = () => {
    if (!live || running.size === 0) return;
    const width = stream.columns || 80;
    clear();
    stream.write(paint(2, line().slice(0, width - 1)));
  };
  const print = (text) => {
    clear();
    stream.write(`${text}\n`);
    draw();
  };
  const timer = setInterval(
    live ? draw : () => running.size > 0 && print(line()),
    live ? redrawMs : plainReminderMs,
  );
  timer.unref();

  return {
    begin(id, title) {
      running.set(id, { title, detail: "", since: Date.now() });
      if (live) draw();
      else print(`set-up: ${title} …`);
    },
    detail(id, text) {
      const entry = running.get(id);
      if (entry !== undefined) entry.detail = text;
    },
    end(id, succeeded) {
      const entry = running.get(id);
      if (entry === undefined) return;
      running.delete(id);
      done += 1;
      const seconds = ((Date.now() - entry.since) / 1000).toFixed(1);
      print(
        `${succeeded ? paint(32, "✓") : paint(33, "–")} ${entry.title} ${paint(2, `${seconds} s`)}`,
      );
    },
    note: print,
    close() {
      clearInterval(timer);
      running.clear();
      clear();
    },
  };
}
