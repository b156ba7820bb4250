/** `mlx-serving build-native`: compiles the native parts anew, which a first start does by itself. */
import { Command } from "commander";
import { buildNative } from "../environment/native.js";
import { CommandError, exitCodes } from "./failure.js";
import { interruptible } from "./interrupt.js";

const help = `
Needs a C++ compiler. Everything works without native parts, slower on a Linux CPU: see docs/NATIVE.md.
A running server uses them from its next worker on.`;

/** The subcommand, for the program to register. */
export function buildNativeCommand(): Command {
  return new Command("build-native")
    .description("Compiles the optional native parts into the Python environment; takes a minute.")
    .addHelpText("after", help)
    .action(async () => {
      const say = (text: string) => process.stderr.write(`${text}\n`);
      say("Building the native parts, which takes a minute …");
      const { built, failures } = await interruptible((signal) =>
        buildNative({ signal, onNote: say }),
      );
      if (built.length > 0) process.stdout.write(`Built: ${built.join(", ")}\n`);
      if (failures.length > 0) throw new CommandError(failures.join("\n"), exitCodes.runtime);
    });
}
