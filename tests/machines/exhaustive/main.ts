/** `npm run search`: every configuration that ends, one after another, or those that are named; exit code 1 and a trace when a law is broken. */
import { type Configuration, large, open, quick } from "./configuration.js";
import { lineOf } from "./report.js";
import { Counterexample, search } from "./search.js";

function searchOne(configuration: Configuration): boolean {
  const progress = (states: number, done: number): void => {
    process.stderr.write(
      `  ${done.toLocaleString("en")} of ${states.toLocaleString("en")} states\n`,
    );
  };
  try {
    process.stdout.write(`${lineOf(search(configuration, { progress }))}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof Counterexample)) throw error;
    process.stdout.write(`${configuration.name}\n${error.message}\n`);
    return false;
  }
}

const wanted = process.argv[2] ?? "";
const all = wanted === "" ? [...quick, ...large] : [...quick, ...large, ...open];
const chosen = all.filter(({ name }) => name.startsWith(wanted));
if (chosen.length === 0) {
  process.stderr.write(`There is no configuration whose name begins with "${wanted}".\n`);
  process.exitCode = 2;
} else if (!chosen.map(searchOne).every(Boolean)) process.exitCode = 1;
