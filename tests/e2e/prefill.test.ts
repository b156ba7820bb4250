/** `generate: false` on the embedded model: what it prepares is there for the next response. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Client, connect } from "../../src-ts/client/index.js";
import { type ServerProcess, startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

let server: ServerProcess;
let client: Client;
beforeAll(async () => {
  server = await startServer();
  client = await connect(server.url);
});
afterAll(async () => {
  await client?.close();
  await server?.[Symbol.asyncDispose]();
});

/** So many tokens, roughly, that nobody else's prompt begins with. */
function instructions(topic: string, sentences: number): string {
  const lines = Array.from({ length: sentences }, (_, i) => `Rule ${i}: speak of ${topic} only.`);
  return lines.join(" ");
}

const brief = { temperature: 0, max_output_tokens: 2 };

describe("generate: false", () => {
  it("completes without output, and the next response with this start finds it computed", async () => {
    const start = { instructions: instructions("bridges", 20) };
    const { response, text, usage } = await client
      .respond({ ...start, input: "Hello.", generate: false })
      .final();
    expect([response.status, response.output, text]).toEqual(["completed", [], ""]);
    expect(usage).toMatchObject({ output_tokens: 0, total_tokens: usage!.input_tokens });
    // The same prompt: all of it but the token that the answer begins with.
    const same = await client.respond({ ...start, input: "Hello.", ...brief }).final();
    expect(same.usage!.input_tokens).toBe(usage!.input_tokens);
    expect(same.usage!.input_tokens_details.cached_tokens).toBe(usage!.input_tokens - 1);
    // Another question after the same instructions.
    const other = await client.respond({ ...start, input: "Goodbye then.", ...brief }).final();
    expect(other.usage!.input_tokens_details.cached_tokens).toBeGreaterThan(100);
  });

  it("takes instructions alone, as an agent's client has them at its start", async () => {
    const start = { instructions: instructions("rivers", 20) };
    const warm = await client.respond({ ...start, input: [], generate: false }).final();
    expect(warm.response.output).toEqual([]);
    const first = await client.respond({ ...start, input: "Hello.", ...brief }).final();
    expect(first.usage!.input_tokens_details.cached_tokens).toBeGreaterThan(100);
  });

  it("survives the death of its worker, and prepares the one that takes it up", async () => {
    const start = { instructions: instructions("mountains", 60), input: "Hello." };
    const { pid } = await server.worker();
    const stream = client.respond({ ...start, generate: false });
    const types: string[] = [];
    for await (const { type } of stream) {
      types.push(type);
      if (type === "response.in_progress") process.kill(pid!, "SIGKILL");
    }
    expect(types.at(-1)).toBe("response.completed");
    const { usage } = await stream.final();
    expect(usage).toMatchObject({ output_tokens: 0 });
    expect((await server.worker()).pid).not.toBe(pid);
    const next = await client.respond({ ...start, ...brief }).final();
    expect(next.usage!.input_tokens_details.cached_tokens).toBe(usage!.input_tokens - 1);
  });
});

interface Recorded {
  headers: Record<string, string>;
  recordings: { case: string; request: { path: string; body: object }; now: unknown }[];
}

describe("lm_eval's prompts", () => {
  it("are token ids of this model, and are completed as they are", async () => {
    const file = join(import.meta.dirname, "../fixtures/clients/lm-eval.json");
    const { headers, recordings } = JSON.parse(readFileSync(file, "utf8")) as Recorded;
    const asked = recordings.filter(({ case: name }) => name === "local-completions-generate");
    expect(asked.length).toBeGreaterThan(0);
    for (const { request } of asked) {
      const body = JSON.stringify(request.body);
      const answer = await fetch(`${server.url}${request.path}`, { method: "POST", headers, body });
      const { choices } = (await answer.json()) as { choices: { text: string }[] };
      expect([answer.status, choices.length]).toEqual([200, 1]);
    }
  });
});
