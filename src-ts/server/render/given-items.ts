/** What a response read, as items with ids. Owns the ids of those that came without one. */
import type { Response } from "../../engine/api.js";
import { allItems } from "../../engine/conversation.js";
import { failure } from "../../failures.js";
import * as limits from "../../protocol/limits.js";
import type {
  GivenItem,
  InputItemList,
  InputItemsQuery,
  KeptItem,
  OutputItem,
} from "../../protocol/responses.js";
import { outputItems } from "./output-items.js";

const idPrefixes: Readonly<Record<KeptItem["type"], string>> = {
  message: "msg",
  reasoning: "rs",
  function_call: "fc",
  function_call_output: "fco",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctco",
};

/** Of the response's own request. */
export function givenItems({ id, conversation }: Response): GivenItem[] {
  const own = id.replace(/^[a-z]+_/, "");
  const items = (conversation?.items ?? []) as readonly KeptItem[];
  return items.map((item, index) => {
    const made = `${idPrefixes[item.type]}_${own}_in_${index}`;
    return { ...item, id: item.id ?? made } as GivenItem;
  });
}

/** And of those before it, with what these answered. */
export function allGivenItems(response: Response): GivenItem[] {
  const before = allItems(response.conversation?.before) as GivenItem[];
  return withOneIdEach([...before, ...givenItems(response)], response.id);
}

/** What was said in this turn, question and answer: what is kept of it for those who go on. */
export function saidItems(response: Response): GivenItem[] {
  return [...givenItems(response), ...outputItems(response).map(withoutLogprobs)];
}

function withoutLogprobs(item: OutputItem): OutputItem {
  if (item.type !== "message") return item;
  return { ...item, content: item.content.map((part) => ({ ...part, logprobs: [] })) };
}

/** A client may have sent one twice, and whoever lists them would never come to the end. */
function withOneIdEach(items: readonly GivenItem[], responseId: string): GivenItem[] {
  const seen = new Set<string>();
  return items.map((item, index) => {
    const id = seen.has(item.id) ? `${item.id}_${responseId}_${index}` : item.id;
    seen.add(id);
    return { ...item, id };
  });
}

/** A page of a list; the newest come first, as OpenAI has it. */
export function inputItemsPage(all: readonly GivenItem[], asked: InputItemsQuery): InputItemList {
  const { order = "desc", after, before } = asked;
  const limit = Number(asked.limit ?? limits.listedItemsDefault);
  const sorted = order === "asc" ? all : all.toReversed();
  const from = after === undefined ? 0 : placeOf(sorted, after, "after") + 1;
  const to = before === undefined ? sorted.length : placeOf(sorted, before, "before");
  const wanted = sorted.slice(from, Math.max(from, to));
  const data = wanted.slice(0, limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: wanted.length > data.length,
  };
}

function placeOf(items: readonly GivenItem[], id: string, param: string): number {
  const place = items.findIndex((item) => item.id === id);
  if (place >= 0) return place;
  throw failure("invalid_value", { message: `${param} is no id of one of these items.`, param });
}
