/** What a search found, as a line. */
import type { Found } from "./search.js";

const figure = (value: number): string => value.toLocaleString("en");

export function lineOf({ configuration, states, transitions, depth, seconds }: Found): string {
  const figures = [
    `${figure(states)} states`,
    `${figure(transitions)} transitions`,
    `depth ${depth}`,
    `${seconds.toFixed(1)} s`,
  ];
  return `${configuration.name}: complete: ${figures.join(", ")}`;
}
