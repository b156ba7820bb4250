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

/** A conversation on one socket: every turn sends all that was said. Returns the answers. */
export async function conversationOverWebSocket(
  client: OpenAI,
  model: string,
  { prompts, maxTokens }: { prompts: readonly string[]; maxTokens: number },
): Promise<{ texts: string[]; prefilled: OpenAI.Responses.Response }> {
  const socket = new ResponsesWS(client);
  const input: OpenAI.Responses.ResponseInput = [];
  const answerTo = (more: { generate?: boolean }) =>
    new Promise<OpenAI.Responses.Response>((resolve, reject) => {
      socket.once("error", reject);
      socket.once("response.completed", ({ response }) => resolve(response));
      socket.once("response.incomplete", ({ response }) => resolve(response));
      const body = { model, input: [...input], max_output_tokens: maxTokens, temperature: 0 };
      socket.send({
        type: "response.create",
        stream: true,
        include: [],
        tools: [],
        ...body,
        ...more,
      });
    });
  const texts: string[] = [];
  try {
    await new Promise((resolve) => socket.socket.on("open", resolve));
    input.push({ role: "user", content: prompts[0]! });
    const prefilled = await answerTo({ generate: false });
    for (const prompt of prompts) {
      if (texts.length > 0) input.push({ role: "user", content: prompt });
      const { output } = await answerTo({});
      input.push(...output);
      const [message] = output as OpenAI.Responses.ResponseOutputMessage[];
      const [part] = message!.content as OpenAI.Responses.ResponseOutputText[];
      texts.push(part!.text);
    }
    return { texts, prefilled };
  } finally {
    socket.close();
  }
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
