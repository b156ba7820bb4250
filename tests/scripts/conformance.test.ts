import { describe, expect, it } from "vitest";
import { judge } from "../../scripts/lib/conformance/kosoku.mjs";

const right = { behavior: "OK", behaviorClose: "OK", remoteCloseCode: 1000 };
const ended = { behavior: "FAILED", behaviorClose: "FAILED", remoteCloseCode: 1009 };
const limit = { cases: ["9.1.5"], closeCode: 1009, reason: "too big" };

describe("the WebSocket cases", () => {
  it("pass when they are right, strict or not", () => {
    const loose = { ...right, behavior: "NON-STRICT", behaviorClose: "INFORMATIONAL" };
    expect(judge({ "1.1.1": right, "1.1.2": loose }, [])).toMatchObject({ passed: 2, failed: 0 });
  });

  it("fail when they fail, or close badly", () => {
    const { failed, failures } = judge(
      { "1.1.1": ended, "1.1.2": { ...right, behaviorClose: "WRONG CODE" } },
      [],
    );
    expect([failed, failures.length]).toEqual([2, 2]);
    expect(failures[0]).toContain("1.1.1: FAILED");
  });

  it("that a limit ends pass if it ends them, and in just that way", () => {
    expect(judge({ "9.1.5": ended }, [limit])).toMatchObject({ passed: 1, failed: 0 });
    expect(judge({ "9.1.5": { ...ended, remoteCloseCode: 1006 } }, [limit]).failed).toBe(1);
    expect(judge({ "9.1.5": right }, [limit]).failed).toBe(1);
  });

  it("that are on the list and were not run are failures", () => {
    expect(judge({ "1.1.1": right }, [limit])).toMatchObject({ passed: 1, failed: 1 });
  });
});
