/** What a start says of the folder that it finds. The folder is one that an earlier version left. */
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "msgpackr";
import { describe, expect, it, onTestFinished } from "vitest";
import { encodeFrame } from "../../../src-ts/journal/frames.js";
import { FolderUnusable, openJournal } from "../../../src-ts/journal/index.js";
import { parseSegmentName } from "../../../src-ts/journal/recovery.js";
import { VirtualClock } from "../engine/sim.js";

const kept = join(import.meta.dirname, "../../fixtures/data-folders/format-1");
const { responses: expected, deleted } = JSON.parse(
  readFileSync(join(kept, "expected.json"), "utf8"),
);
const restored = "restored responses";
const damaged = "the journal is damaged: what could not be read is left out";
const foreign = "responses that another version wrote are left on disk, and not served";

/** A copy with its end cut off where the last frame is whole. */
async function wholeFolder() {
  const folder = mkdtempSync(join(tmpdir(), "mlx-serving-kept-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(kept, folder, { recursive: true });
  rmSync(join(folder, "expected.json"));
  await start(folder);
  return folder;
}

const segmentsOf = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .toSorted();

async function start(folder: string) {
  const lines: [message: string, fields: Record<string, unknown>][] = [];
  const journal = await openJournal({
    folder,
    fsync: false,
    clock: new VirtualClock(),
    log: (_level, message, fields) => lines.push([message, fields]),
  });
  const responses = journal.takeRestored();
  await journal.close();
  const running = responses.filter(({ entries }) => entries.at(-1)?.kind !== "ended").length;
  return { lines, messages: lines.map(([message]) => message), responses, running };
}

/** Behind all that is there. */
function append(folder: string, record: unknown): void {
  const name = segmentsOf(folder).at(-1)!;
  appendFileSync(join(folder, name), encodeFrame(pack(record), parseSegmentName(name)!.salt));
}

const running = expected.filter(({ state }: { state: string }) => state === "running").length;
const ended = expected.length - running;

describe("a folder", () => {
  it("is read without a word but how much it holds", async () => {
    const { lines } = await start(await wholeFolder());
    expect(lines).toEqual([[restored, { ended, running }]]);
  });

  it.each(["ended", "running"])(
    "with a record of an unknown type about one that is %s: all but that one",
    async (state) => {
      const folder = await wholeFolder();
      const { id } = expected.find((one: { state: string }) => one.state === state);
      append(folder, [77, id]);
      append(folder, [77, id]);
      const { lines, responses } = await start(folder);
      expect(lines).toEqual([
        [foreign, { count: 1, reasons: ["a record of type 77"] }],
        [
          restored,
          state === "ended" ? { ended: ended - 1, running } : { ended, running: running - 1 },
        ],
      ]);
      expect(responses.map(({ acceptance }) => acceptance.id)).not.toContain(id);
    },
  );

  it("with records of many unknown types says a few of them", async () => {
    const folder = await wholeFolder();
    for (let type = 50; type < 70; type++) append(folder, [type, `resp_${type}`]);
    const { lines } = await start(folder);
    const reasons = [50, 51, 52, 53, 54].map((type) => `a record of type ${type}`);
    expect(lines).toEqual([
      [foreign, { count: 20, reasons }],
      [restored, { ended, running }],
    ]);
  });

  it("of a newer version is refused by name, and left as it is", async () => {
    const folder = await wholeFolder();
    const name = "00000009-00000000.log";
    writeFileSync(join(folder, name), "mlx-serving journal 2\nwhatever it is");
    const before = segmentsOf(folder).map((one) => readFileSync(join(folder, one)));
    const refused = start(folder);
    await expect(refused).rejects.toThrow(FolderUnusable);
    await expect(refused).rejects.toThrow(
      `${name} was written by a newer version (format 2; this one reads 1)`,
    );
    expect(segmentsOf(folder).map((one) => readFileSync(join(folder, one)))).toEqual(before);
    // It is nobody's: the newer version finds it free.
    expect(readdirSync(folder)).not.toContain("lock");
  });

  it("that is half-written loses nothing but what was torn", async () => {
    const whole = await wholeFolder();
    const name = segmentsOf(whole).at(-1)!;
    const data = readFileSync(join(whole, name));
    const all = new Map((await start(whole)).responses.map((one) => [one.acceptance.id, one]));
    for (let length = data.length - 1; length > 0; length -= Math.ceil(data.length / 40)) {
      const folder = await wholeFolder();
      truncateSync(join(folder, name), length);
      const { messages, responses } = await start(folder);
      expect(responses.length).toBeGreaterThanOrEqual(2);
      for (const { acceptance, entries, tokens } of responses) {
        // The word that it was deleted was torn off, too.
        if (acceptance.id === deleted) continue;
        const before = all.get(acceptance.id)!;
        expect(acceptance).toEqual(before.acceptance);
        expect(entries).toEqual(before.entries.slice(0, entries.length));
        expect(tokens).toEqual(before.tokens.slice(0, tokens.length));
      }
      expect(messages.at(-1)).toBe(restored);
      expect((await start(folder)).messages.filter((one) => one === damaged)).toEqual([]);
    }
  });

  it.each([
    ["nothing in it yet", ""],
    ["half of its first line", "mlx-serving jour"],
    ["its first line alone", "mlx-serving journal 1\n"],
    ["zeros, as after a loss of power", "\0".repeat(4_096)],
  ])("with a segment that has %s is used", async (_, content) => {
    const folder = await wholeFolder();
    writeFileSync(join(folder, "00000009-00000000.log"), content);
    const { lines, messages } = await start(folder);
    expect(lines.at(-1)).toEqual([restored, { ended, running }]);
    const isWhole = content === "" || content.endsWith("\n");
    expect(messages.includes(damaged)).toBe(!isWhole);
  });
});
