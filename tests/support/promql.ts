/** What a query of Prometheus asks for, by Prometheus' own grammar. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Selector {
  metric: string;
  matchers: { label: string; value: string }[];
}

export interface Query {
  selectors: Selector[];
  /** Labels of `by`. */
  groupings: string[];
  /** Where it is no query. */
  errors: string[];
}

export function readQuery(text: string): Query {
  const query: Query = { selectors: [], groupings: [], errors: [] };
  parser.parse(text).iterate({
    enter({ type, node, from, to }) {
      const said = text.slice(from, to);
      if (type.isError) query.errors.push(`no query at ${from}: ${text.slice(from, from + 20)}`);
      if (type.name === "VectorSelector") query.selectors.push({ metric: "", matchers: [] });
      const last = query.selectors.at(-1);
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") last!.metric = said;
      if (type.name === "UnquotedLabelMatcher") {
        const [, label = "", value = ""] =
          /^(\w+)\s*(?:=~|!~|!=|=)\s*["'](.*)["']$/.exec(said) ?? [];
        last!.matchers.push({ label, value });
      }
      if (type.name === "GroupingLabels") query.groupings.push(...said.match(/\w+/g)!);
    },
  });
  return query;
}
