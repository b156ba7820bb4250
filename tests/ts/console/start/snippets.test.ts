/** How to connect: the real address everywhere, and a key's place where one is needed. */
import { expect, it } from "vitest";
import { agents } from "../../../../src-ts/cli/agents/index.js";
import { snippetsOf } from "../../../../src-ts/console/start/snippets.js";

const place = { origin: "http://10.0.0.2:9001", needsKey: false, model: "org/m" };

it("names this server in all of them", () => {
  for (const { id, code } of snippetsOf(place))
    expect(code, id).toMatch(/(http|ws):\/\/10\.0\.0\.2:9001/);
  for (const { id, code } of snippetsOf(place))
    expect(code, id).not.toMatch(/api-key-file|API_KEY|Bearer/);
});

it("says where the key goes, and shows none", () => {
  for (const { id, code } of snippetsOf({ ...place, needsKey: true }))
    expect(code, id).toMatch(/MLX_SERVING_API_KEY/);
});

it("starts every agent that can be started", () => {
  const { code } = snippetsOf(place).find(({ id }) => id === "agents")!;
  for (const { name } of agents)
    expect(code).toContain(`launch --url http://10.0.0.2:9001 ${name}`);
});
