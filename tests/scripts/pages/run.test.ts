/** Running a page's blocks: README's own, and what is said of one that fails. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { missingLine } from "../../../scripts/lib/pages/output.mjs";
import { runPage } from "../../../scripts/lib/pages/run.mjs";
import { setupFolder } from "../../../setup/clone/node.mjs";
import { packageRoot } from "../../../setup/paths.mjs";

describe("what is printed", () => {
  it("is looked for line by line", () => {
    const printed = "first\n  \u001b[32msecond 12\u001b[0m  \nthird\n";
    expect(missingLine(printed, "first\nthird")).toBeUndefined();
    expect(missingLine(printed, "second …\n…\nthird")).toBeUndefined();
    expect(missingLine(printed, "third\nfirst")).toBe("first");
    expect(missingLine(printed, "second")).toBe("second");
  });
});

const folder = join(setupFolder, "pages-of-tests");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** In the folder of the clone, since that is where pages are. */
function pageWith(name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), text);
  return join(folder, name).slice(packageRoot.length + 1);
}

const sh = (code: string) => `\`\`\`sh\n${code}\n\`\`\`\n`;

describe("a page", () => {
  it("is run as in one terminal, with what it says one sees", async () => {
    const page = pageWith(
      "good.md",
      [
        sh("mkdir a\ncd a\nexport GREETING=hello"),
        "<!-- block: file b.txt -->\n```text\nin a file\n```\n",
        sh("echo $GREETING; cat b.txt; ls ../mlx-serving/package.json"),
        "<!-- block: output -->\n```text\nhello\nin a file\n…package.json\n```\n",
        `<!-- block: skip it would fail -->\n${sh("false")}`,
      ].join("\n"),
    );
    expect(await runPage(page)).toEqual({ ran: 4, skipped: 1 });
  });

  it.each([
    ["a command fails", sh("echo so far\nfalse\necho on"), "it ended with 1\nso far\n"],
    [
      "something else is seen",
      `${sh("echo one")}\n<!-- block: output -->\n\`\`\`text\ntwo\n\`\`\`\n`,
      'nothing says "two"',
    ],
    ["what it starts ends", `<!-- block: starts -->\n${sh("echo no server")}`, "is not ready"],
  ])("fails where %s", async (_, text, words) => {
    await expect(runPage(pageWith("bad.md", text))).rejects.toThrow(words);
  });
});

it("README's programs run against a server", async () => {
  const wants = ({ language, code }: { language: string; code: string }) =>
    language === "ts" || code.startsWith("curl");
  expect((await runPage("README.md", { wants })).ran).toBe(4);
});
