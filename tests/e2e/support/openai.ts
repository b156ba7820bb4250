/** The official npm client, asked in every way that it has. */
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

export function openai(url: string, apiKey = "none"): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

export async function modelOf(client: OpenAI): Promise<string> {
  for await (const { id } of client.models.list()) return id;
  throw new Error("The server has no model.");
}

export interface Question {
  prompt: string;
  maxTokens: number;
}

export async function streamedChat(
  client: OpenAI,
  model: string,
  { prompt, maxTokens }: Question,
): Promise<string> {
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: prompt }],
    max_tokens: maxTokens,
    temperature: 0,
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

export async function streamedResponse(
  client: OpenAI,
  model: string,
  { prompt, maxTokens }: Question,
): Promise<string> {
  const stream = await client.responses.create({
    model,
    input: prompt,
    max_output_tokens: maxTokens,
    temperature: 0,
    stream: true,
  });
  let text = "";
  for await (const event of stream) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return text;
}

/** Over WebSocket; rejects on any error event. */
export function responseOverWebSocket(
  client: OpenAI,
  model: string,
  { prompt, maxTokens }: Question,
): Promise<string> {
  const socket = new ResponsesWS(client);
  let text = "";
  return new Promise<string>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("response.output_text.delta", ({ delta }) => {
      text += delta;
    });
    socket.on("response.completed", () => resolve(text));
    socket.on("response.incomplete", () => resolve(text));
    socket.on("response.failed", ({ response }) => reject(new Error(response.error?.message)));
    socket.socket.on("open", () => {
      const body = { model, input: prompt, max_output_tokens: maxTokens, temperature: 0 };
      socket.send({ type: "response.create", ...body });
    });
  }).finally(() => socket.close());
}
