/**
 * A histogram for hot paths: prom-client's own hashes its labels on every observation, and there is
 * one a token. This one is told its label set once and then only counts; it renders as the other does.
 */
import type { Metric, Registry } from "prom-client";

/** What all label sets have counted, as far as nobody asks which. */
export interface Totals {
  bounds: readonly number[];
  /** Of each bucket; what lies past the last bound is in `count` alone. */
  counts: Float64Array;
  sum: number;
  count: number;
}

/** One label set's counts. */
export class Series {
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(
    readonly label: string,
    private readonly bounds: readonly number[],
  ) {
    this.counts = new Float64Array(bounds.length);
  }

  observe(value: number, times = 1): void {
    this.sum += value * times;
    this.count += times;
    for (let i = 0; i < this.bounds.length; i++) {
      if (value <= this.bounds[i]!) {
        this.counts[i]! += times;
        return;
      }
    }
  }
}

const labelName = "model_name";

interface Value {
  metricName: string;
  value: number;
  labels: Record<string, string | number>;
}

/** One series for each model. */
export class ModelHistogram {
  private readonly series = new Map<string, Series>();

  constructor(
    readonly name: string,
    readonly help: string,
    private readonly bounds: readonly number[],
    registry: Registry,
  ) {
    // A registry asks a metric for its name and its values, and nothing else of what the type has.
    registry.registerMetric(this as unknown as Metric);
  }

  of(model: string): Series {
    let series = this.series.get(model);
    if (series === undefined) {
      series = new Series(model, this.bounds);
      this.series.set(model, series);
    }
    return series;
  }

  totals(): Totals {
    const { bounds } = this;
    const all: Totals = { bounds, counts: new Float64Array(bounds.length), sum: 0, count: 0 };
    for (const { counts, sum, count } of this.series.values()) {
      for (let i = 0; i < bounds.length; i++) all.counts[i]! += counts[i]!;
      all.sum += sum;
      all.count += count;
    }
    return all;
  }

  /** Called by the registry. */
  async get(): Promise<{ name: string; help: string; type: "histogram"; values: Value[] }> {
    const { name, help } = this;
    const values = [...this.series.values()].flatMap((series) => this.valuesOf(series));
    return { name, help, type: "histogram", values };
  }

  private valuesOf({ label, counts, count, sum }: Series): Value[] {
    const { name } = this;
    const labels = { [labelName]: label };
    let cumulated = 0;
    const buckets = this.bounds.map((bound, index) => {
      cumulated += counts[index]!;
      return { metricName: `${name}_bucket`, value: cumulated, labels: { ...labels, le: bound } };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, value: count, labels: { ...labels, le: "+Inf" } },
      { metricName: `${name}_sum`, value: sum, labels },
      { metricName: `${name}_count`, value: count, labels },
    ];
  }
}
