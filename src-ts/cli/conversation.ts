/** The turns of one conversation, and the printing of answers as they come. */
import { AbortedError, type Client, type CreateResponseBody } from "../client/index.js";
import { errColors } from "../colors.js";

export interface AnswerOptions {
  model: string | undefined;
  instructions: string | undefined;
  maxOutputTokens: number | undefined;
  temperature: number | undefined;
}

type Message = { role: "user" | "assistant"; content: string };

export class Conversation {
  private readonly messages: Message[] = [];

  constructor(
    private readonly client: Client,
    /** May change between two questions. */
    readonly options: AnswerOptions,
  ) {}

  /** Forgets what was said. */
  clear(): void {
    this.messages.length = 0;
  }

  /**
   * Prints the answer to `question` as it comes. Ctrl-C cancels it: then the question and what was
   * said so far stay in the conversation, and the result is false.
   */
  async ask(question: string, out: NodeJS.WriteStream): Promise<boolean> {
    this.messages.push({ role: "user", content: question });
    const cancel = new AbortController();
    const onInterrupt = () => cancel.abort();
    process.on("SIGINT", onInterrupt);
    let said = "";
    try {
      const stream = this.client.respond(this.body(), { signal: cancel.signal });
      for await (const event of stream) {
        if (event.type !== "response.output_text.delta") continue;
        said += event.delta;
        out.write(event.delta);
      }
      const { response } = await stream.final();
      this.finish(said, out, response.incomplete_details?.reason);
      return true;
    } catch (error) {
      if (!(error instanceof AbortedError)) throw error;
      this.finish(said, out, "cancelled");
      return false;
    } finally {
      process.off("SIGINT", onInterrupt);
    }
  }

  private body(): CreateResponseBody {
    const { model, instructions, maxOutputTokens, temperature } = this.options;
    return {
      input: [...this.messages],
      store: false,
      ...(model !== undefined && { model }),
      ...(instructions !== undefined && { instructions }),
      ...(maxOutputTokens !== undefined && { max_output_tokens: maxOutputTokens }),
      ...(temperature !== undefined && { temperature }),
    };
  }

  private finish(said: string, out: NodeJS.WriteStream, cutBy: string | undefined): void {
    if (said !== "") this.messages.push({ role: "assistant", content: said });
    if (!said.endsWith("\n")) out.write("\n");
    if (cutBy !== undefined) process.stderr.write(errColors.dim(`(${cutBy})\n`));
  }
}
