/** Conversations that go on by `previous_response_id` over the death of workers and of servers. */
import { describe, expect, it, vi } from "vitest";
import { connect } from "../../src-ts/client/index.js";
import { killedAt } from "../e2e/support/kills.js";
import { type ServerProcess, startServer } from "../e2e/support/server.js";
import { dataFolder, post } from "./support/stored.js";

vi.setConfig({ testTimeout: 120_000 });

const fake = ["--engine", "fake"];
/** Words of the fake engine are tokens of several bytes: it tells whether a prompt has them. */
const answerTokens = 40;

// biome-ignore lint/suspicious/noExplicitAny: a response, or an error
type Answer = { status: number; body: any };

async function create({ url }: ServerProcess, fields: object): Promise<Answer> {
  const body = { max_output_tokens: answerTokens, temperature: 0, ...fields };
  const answer = await post(`${url}/v1/responses`, body);
  return { status: answer.status, body: await answer.json() };
}

async function inputItems({ url }: ServerProcess, id: string): Promise<Answer> {
  const answer = await fetch(`${url}/v1/responses/${id}/input_items?order=asc`);
  return { status: answer.status, body: await answer.json() };
}

const text = ({ body }: Answer): string => body.output[0].content[0].text;

describe("a conversation", () => {
  it("begins with the tokens of its past", async () => {
    await using server = await startServer({ flags: fake });
    const first = await create(server, { input: "one" });
    const next = await create(server, { input: "two", previous_response_id: first.body.id });
    const history = [
      { role: "user", content: "one" },
      { role: "assistant", content: text(first) },
      { role: "user", content: "two" },
    ];
    const plain = await create(server, { input: history });
    const { input_tokens, output_tokens } = first.body.usage;
    const added = "\n<|user|>two\n<|assistant|>".length;
    expect(next.body.usage.input_tokens).toBe(input_tokens + output_tokens + added);
    expect(plain.body.usage.input_tokens).toBeGreaterThan(next.body.usage.input_tokens);
  });

  it("is the same after its server was killed and started again", async () => {
    using folder = dataFolder();
    const flags = [...fake, "--data-dir", folder.path];
    const ids: string[] = [];
    let expected: Answer;
    let items: Answer;
    {
      await using server = await startServer({ flags });
      for (const input of ["one", "two"]) {
        const { body } = await create(server, { input, previous_response_id: ids.at(-1) });
        ids.push(body.id);
      }
      expected = await create(server, { input: "three", previous_response_id: ids[1] });
      items = await inputItems(server, expected.body.id);
      expect(items.body.data).toHaveLength(5);
      await fetch(`${server.url}/v1/responses/${ids[0]}`, { method: "DELETE" });
      server.signal("SIGKILL");
      await server.exited;
    }
    await using server = await startServer({ flags });
    const again = await create(server, { input: "three", previous_response_id: ids[1] });
    expect(text(again)).toBe(text(expected));
    expect(again.body.usage).toMatchObject({
      input_tokens: expected.body.usage.input_tokens,
      output_tokens: expected.body.usage.output_tokens,
    });
    expect(await inputItems(server, expected.body.id)).toEqual(items);
    const deleted = await create(server, { input: "x", previous_response_id: ids[0] });
    expect(deleted).toMatchObject({
      status: 400,
      body: { error: { code: "previous_response_not_found", param: "previous_response_id" } },
    });
  });

  it("is the same when its worker is killed in the midst of it", async () => {
    const flags = [...fake, "--fake-tokens-per-second", "100", "--max-batch", "1"];
    await using server = await startServer({ flags });
    await using client = await connect(server.url);
    const begun = { input: "one", store: false, max_output_tokens: answerTokens };
    const first = await client.respond(begun).final();
    const body = {
      input: "two",
      store: false,
      max_output_tokens: 120,
      previous_response_id: first.response.id,
    };
    const expected = await client.respond(body).final();
    const disturbed = client.respond(body);
    await killedAt(server, disturbed, [Math.ceil(expected.text.length / 4)]);
    const final = await disturbed.final();
    expect(final.text).toBe(expected.text);
    expect(final.usage).toEqual(expected.usage);
    expect((await server.worker()).restarts).toBe(1);
  });
});
