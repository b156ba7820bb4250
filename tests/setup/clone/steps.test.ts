import { expect, it } from "vitest";
import { runSteps, type Step } from "../../../setup/clone/steps.mjs";

const progress = { begin() {}, detail() {}, end() {}, note() {}, close() {} };
const never = new AbortController().signal;

function step(id: string, needs: string[], work: Step["run"], fresh = false): Step {
  return { id, title: id, needs, fresh: () => fresh, run: work };
}

it("runs steps after what they need, and the others at once", async () => {
  const order: string[] = [];
  const work = (id: string) => async () => {
    order.push(`begin ${id}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push(`end ${id}`);
  };
  const steps = [
    step("c", ["b"], work("c")),
    step("a", [], work("a")),
    step("b", ["a"], work("b")),
  ];
  await runSteps([...steps, step("x", [], work("x"))], { signal: never, progress });
  expect(order.indexOf("begin x")).toBeLessThan(order.indexOf("end a"));
  expect(order.indexOf("begin b")).toBeGreaterThan(order.indexOf("end a"));
  expect(order.indexOf("begin c")).toBeGreaterThan(order.indexOf("end b"));
});

it("leaves out fresh steps but runs what needs them", async () => {
  const ran: string[] = [];
  const work = (id: string) => async () => void ran.push(id);
  const steps = [step("a", [], work("a"), true), step("b", ["a"], work("b"))];
  await runSteps(steps, { signal: never, progress });
  expect(ran).toEqual(["b"]);
});

it("aborts the others at the first failure, and throws that one", async () => {
  let aborted = false;
  const waits = step("waits", [], ({ signal }) => {
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        aborted = true;
        reject(signal.reason);
      });
    });
  });
  const fails = step("fails", [], () => Promise.reject(new Error("no disk")));
  let ranAfter = false;
  const after = step("after", ["fails"], async () => {
    ranAfter = true;
  });
  const run = runSteps([after, waits, fails], { signal: never, progress });
  await expect(run).rejects.toThrow("no disk");
  expect({ aborted, ranAfter }).toEqual({ aborted: true, ranAfter: false });
});

it("ends early when it is aborted from outside", async () => {
  const abort = new AbortController();
  const waits = step("waits", [], ({ signal }) => {
    setTimeout(() => abort.abort(), 1);
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  });
  await expect(runSteps([waits], { signal: abort.signal, progress })).rejects.toThrow(/abort/i);
});
