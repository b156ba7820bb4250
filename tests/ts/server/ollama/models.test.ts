import { expect, it } from "vitest";
import {
  OllamaError,
  OllamaModel,
  OllamaRunning,
  OllamaTags,
  OllamaVersion,
  ollamaVersion,
} from "../../../../src-ts/protocol/ollama.js";
import { version } from "../../../../src-ts/protocol/version.js";
import { startServer } from "../../support/test-server.js";

it("are listed by each of their names", async () => {
  const { get, engine } = await startServer();
  const { models } = OllamaTags.parse(await (await get("/api/tags")).json());
  expect(models.map(({ name }) => name)).toEqual(
    engine.models().flatMap(({ id, aliases }) => [id, ...aliases]),
  );
  const [first] = models;
  expect(first).toMatchObject({ model: "org/first", modified_at: "2023-11-14T22:13:20.000Z" });
  expect(first!.size).toBe(engine.workers()[0]!.limits!.weightsBytes);
  expect(models.map(({ details }) => details.format)).toEqual(["safetensors", "gguf"]);
  expect(new Set(models.map(({ digest }) => digest)).size).toBe(models.length);
});

it("are listed as running by who has loaded them", async () => {
  const { get, engine } = await startServer();
  const { models } = OllamaRunning.parse(await (await get("/api/ps")).json());
  const { contextMax, weightsBytes: size } = engine.workers()[0]!.limits!;
  expect(models).toEqual([
    expect.objectContaining({ name: "org/first", size, context_length: contextMax }),
  ]);
});

it.each([{ model: "org/first" }, { name: "org/first:latest" }])(
  "are shown by %j",
  async (asked) => {
    const { post, engine } = await startServer();
    const shown = OllamaModel.parse(await (await post("/api/show", asked)).json());
    const { contextMax } = engine.models()[0]!;
    expect(shown.modelfile).toBe("FROM org/first\n");
    expect(shown.model_info["mlx.context_length"]).toBe(contextMax);
    expect(shown.capabilities).toContain("completion");
  },
);

it("are missed, or not named, in the shape of this API", async () => {
  const { post } = await startServer();
  for (const [body, status] of [
    [{ model: "none" }, 404],
    [{}, 400],
  ] as const) {
    const answer = await post("/api/show", body);
    expect(answer.status).toBe(status);
    expect(OllamaError.parse(await answer.json()).error).toContain("model");
  }
});

it("are seen by those whose keys may use them", async () => {
  const { get } = await startServer({ apiKeys: ["key"] });
  expect((await get("/api/tags")).status).toBe(401);
  const headers = { authorization: "Bearer key" };
  OllamaTags.parse(await (await get("/api/tags", { headers })).json());
});

it("are served by a version that clients can compare", async () => {
  const { get } = await startServer();
  const told = OllamaVersion.parse(await (await get("/api/version")).json());
  expect(told).toEqual({ version: ollamaVersion, mlx_serving: version });
});
