/** How programs connect, with this server's real address. Pure. */

export interface Snippet {
  id: string;
  name: string;
  language: string;
  code: string;
}

export interface Place {
  /** Such as `http://127.0.0.1:8088`. */
  origin: string;
  needsKey: boolean;
  model: string;
}

export function snippetsOf({ origin, needsKey, model }: Place): Snippet[] {
  const py = needsKey ? 'os.environ["MLX_SERVING_API_KEY"]' : '"none"';
  const js = needsKey ? "process.env.MLX_SERVING_API_KEY" : '"none"';
  const imports = needsKey ? "import os\n" : "";
  const header = needsKey ? ' \\\n  -H "Authorization: Bearer $MLX_SERVING_API_KEY"' : "";
  const keyNote = needsKey ? ["# the key is in MLX_SERVING_API_KEY"] : [];
  return [
    {
      ...{ id: "curl", name: "curl", language: "bash" },
      code: `curl ${origin}/v1/chat/completions${header} \\
  -H "Content-Type: application/json" \\
  -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'`,
    },
    {
      ...{ id: "python", name: "OpenAI · Python", language: "python" },
      code: `${imports}from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key=${py})
response = client.responses.create(model="${model}", input="Why is the sky blue?")
print(response.output_text)`,
    },
    {
      ...{ id: "node", name: "OpenAI · JavaScript", language: "javascript" },
      code: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: ${js} });
const response = await client.responses.create({
  model: "${model}",
  input: "Why is the sky blue?",
});
console.log(response.output_text);`,
    },
    {
      ...{ id: "anthropic", name: "Anthropic", language: "python" },
      code: `${imports}from anthropic import Anthropic

client = Anthropic(base_url="${origin}", api_key=${py})
message = client.messages.create(
    model="${model}",
    max_tokens=256,
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
)
print(message.content[0].text)`,
    },
    {
      ...{ id: "socket", name: "WebSocket", language: "typescript" },
      code: `import { connect } from "mlx-serving/client";

await using client = await connect("${origin.replace(/^http/, "ws")}"${needsKey ? `, {\n  apiKey: ${js},\n}` : ""});
const stream = client.respond({ input: "Why is the sky blue?" });
for await (const event of stream)
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);`,
    },
    {
      ...{ id: "agents", name: "Coding agents", language: "bash" },
      code: [
        ...keyNote,
        ...["codex", "claude", "opencode", "qwen", "pi"].map(
          (agent) => `npx mlx-serving launch --url ${origin} ${agent}`,
        ),
      ].join("\n"),
    },
  ];
}
