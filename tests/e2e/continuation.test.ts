/** `previous_response_id` on the embedded model: nothing that was computed is computed again. */
import { describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { startServer } from "./support/server.js";

vi.setConfig({ testTimeout: 240_000 });

describe("a conversation of five turns on one socket", () => {
  it("computes its new tokens alone, and sends its new text alone", async () => {
    await using server = await startServer();
    await using client = await connect(server.url);
    const options = { store: false, temperature: 0, max_output_tokens: 24 };
    const input = "A long beginning, of many words. ".repeat(20);
    let last = await client.respond({ ...options, input }).final();
    for (let turn = 1; turn < 5; turn++) {
      const next = client.respond({
        ...options,
        input: `And then, ${turn}?`,
        previous_response_id: last.response.id,
      });
      const { response, usage } = await next.final();
      const known = last.usage!.input_tokens + last.usage!.output_tokens;
      expect(response.previous_response_id).toBe(last.response.id);
      expect(usage!.input_tokens).toBeGreaterThan(known);
      // The last token of an answer is drawn, and not computed.
      expect(usage!.input_tokens_details.cached_tokens).toBeGreaterThanOrEqual(known - 1);
      last = await next.final();
    }
  });

  it("begins with what was prefilled for it", async () => {
    await using server = await startServer();
    await using client = await connect(server.url);
    const instructions = "You are an agent, of many words. ".repeat(20);
    const options = { store: false, temperature: 0, max_output_tokens: 8, instructions };
    const warm = await client.respond({ ...options, input: [], generate: false }).final();
    const { usage } = await client
      .respond({ ...options, input: "Hello.", previous_response_id: warm.response.id })
      .final();
    const { cached_tokens } = usage!.input_tokens_details;
    expect(cached_tokens).toBeGreaterThan(warm.usage!.input_tokens - 16);
  });
});
