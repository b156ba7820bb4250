/**
 * Schemas that were turned away, by what in them was to blame. Whoever answers a request with an error tells
 * it here; what is no refusal of a schema is passed over.
 */
import { Counter, type Registry } from "prom-client";
import type { ServingError } from "../../errors.js";
import { SchemaFault } from "../submissions/schemas/refusal.js";

export class SchemaRefusals {
  private readonly counts = new Map<string, { code: string; keyword: string; count: number }>();

  take({ code, cause }: ServingError): void {
    if (!(cause instanceof SchemaFault)) return;
    const { keyword } = cause;
    const key = `${code} ${keyword}`;
    const known = this.counts.get(key) ?? { code, keyword, count: 0 };
    known.count++;
    this.counts.set(key, known);
  }

  register(registry: Registry, prefix: string): void {
    const { counts } = this;
    new Counter({
      name: `${prefix}schemas_refused_total`,
      help: "Schemas, patterns and grammars that were turned away, by the keyword that is to blame.",
      labelNames: ["code", "keyword"],
      registers: [registry],
      collect() {
        this.reset();
        for (const { count, ...labels } of counts.values()) this.inc(labels, count);
      },
    });
  }
}
