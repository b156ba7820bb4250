import { describe, expect, it } from "vitest";
import { inStrands } from "../../scripts/lib/strands.mjs";

/** Suites of so many ticks of a clock; what ran beside what. */
async function played(suites: { id: string; ticks: number; waits?: boolean }[]) {
  const running = new Set<string>();
  const beside: string[] = [];
  const results = await inStrands(suites, async ({ id, ticks }) => {
    running.add(id);
    beside.push([...running].join("+"));
    for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
    running.delete(id);
    return id;
  });
  return { beside, results };
}

describe("two strands", () => {
  it("run one of each kind beside the other, and tell in the order given", async () => {
    const { beside, results } = await played([
      { id: "a", ticks: 20, waits: true },
      { id: "b", ticks: 20, waits: true },
      { id: "x", ticks: 10 },
      { id: "y", ticks: 30 },
    ]);
    expect(results).toEqual(["a", "b", "x", "y"]);
    expect(beside).toEqual(["x", "x+a", "a+y", "y+b"]);
  });

  it("share what is left when one has no more of its kind", async () => {
    const { beside } = await played([
      { id: "a", ticks: 2, waits: true },
      { id: "x", ticks: 50 },
      { id: "y", ticks: 50 },
    ]);
    expect(beside).toEqual(["x", "x+a", "x+y"]);
  });

  it("run whatever is left by itself, and nothing twice", async () => {
    expect((await played([])).results).toEqual([]);
    expect((await played([{ id: "x", ticks: 3 }])).beside).toEqual(["x"]);
  });

  it("tell of a suite that can't be run", async () => {
    const broken = inStrands([{ waits: true }, {}], ({ waits }: { waits?: boolean }) =>
      waits ? Promise.reject(new Error("no such program")) : Promise.resolve(1),
    );
    await expect(broken).rejects.toThrow("no such program");
  });
});
