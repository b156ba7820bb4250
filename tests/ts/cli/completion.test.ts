/** The scripts that shells complete by; bash runs its own here. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { completionCommand, placesOf, scriptOf } from "../../../src-ts/cli/completion.js";
import { keysCommand } from "../../../src-ts/cli/keys.js";
import { serveCommand } from "../../../src-ts/cli/serve.js";

const folder = mkdtempSync(join(tmpdir(), "mlx-serving-completion-"));
afterAll(() => rmSync(folder, { recursive: true }));

function program(): Command {
  const whole = new Command("mlx-serving").version("1", "-V, --version", "print the version");
  whole.addCommand(serveCommand()).addCommand(keysCommand());
  const odd = new Command("odd").summary("it's 5:00");
  whole.addCommand(odd.addOption(new Option("--secret", "").hideHelp()));
  return whole;
}
const places = placesOf(program());

describe("bash", () => {
  const script = join(folder, "bash");
  writeFileSync(script, scriptOf("bash", places));
  const complete = (...words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(" ");
    const ask = `source ${script}; COMP_WORDS=(mlx-serving ${line}); COMP_CWORD=${words.length}; _mlx_serving; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", ask], { cwd: folder, encoding: "utf8" })
      .split("\n")
      .filter(Boolean);
  };

  it("completes commands, those below them, flags and files", () => {
    expect(complete("")).toEqual(expect.arrayContaining(["serve", "keys", "--version"]));
    expect(complete("se")).toEqual(["serve"]);
    expect(complete("keys", "")).toEqual(expect.arrayContaining(["add", "list", "revoke"]));
    expect(complete("keys", "add", "alice", "--tokens-per-")).toEqual([
      ...["--tokens-per-minute", "--tokens-per-day", "--tokens-per-month"],
    ]);
    expect(complete("serve", "--engine", "fake", "--po")).toEqual(["--port"]);
    expect(complete("serve", "--api-key-file", "ba")).toEqual(["bash"]);
    expect(complete("serve", "--ws-echo")).toEqual([]);
  });
});

it("has every command and flag for the others, described and quoted", () => {
  const fish = scriptOf("fish", places);
  expect(fish).toContain(
    `-n '__mlx_serving_at "keys add"' -l tokens-per-day -x -d 'tokens a day (UTC)'`,
  );
  expect(fish).toContain("-f -a odd -d 'it\\'s 5:00'");
  expect(fish).toContain(`-n '__mlx_serving_at "serve"' -l api-key-file -r -F -d`);
  const zsh = scriptOf("zsh", places);
  expect(zsh).toMatch(/^#compdef mlx-serving\n/);
  expect(zsh).toContain(`'odd:it'\\''s 5\\:00'`);
  expect([fish, zsh].some((text) => text.includes("secret"))).toBe(false);
});

it.each(["bash", "zsh", "fish"] as const)("is good %s where there is one", (shell) => {
  const path = join(folder, `checked.${shell}`);
  writeFileSync(path, scriptOf(shell, places));
  const { error, status, stderr } = spawnSync(shell, ["-n", path], { encoding: "utf8" });
  // Not on every machine.
  if (error === undefined) expect([status, stderr]).toEqual([0, ""]);
  else expect(error).toMatchObject({ code: "ENOENT" });
});

it("is for shells that there are", async () => {
  const command = completionCommand(async () => program())
    .exitOverride()
    .configureOutput({ writeErr() {} });
  await expect(command.parseAsync(["csh"], { from: "user" })).rejects.toThrow("bash, zsh or fish");
});
