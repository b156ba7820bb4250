/**
 * Says in one sentence where the project cannot run, before a script that only a POSIX shell understands
 * (`exec`: so that npm's signals reach the program and not a shell between them).
 */
import { checkPlatform } from "../platform.mjs";

try {
  checkPlatform();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
