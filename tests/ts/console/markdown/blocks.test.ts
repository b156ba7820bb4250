/** Markdown as markup; what of markup may be shown is `policy.ts`'s, and tried in a browser by tests/console. */
import { describe, expect, it } from "vitest";
import { blocksOf } from "../../../../src-ts/console/markdown/blocks.js";
import { isOwnClass, policy } from "../../../../src-ts/console/markdown/policy.js";

const html = (markdown: string) =>
  blocksOf(markdown)
    .map((block) => block.html)
    .join("");

describe("Markdown", () => {
  it("shows HTML as text, and an image as a link", () => {
    expect(html("a <script>alert(1)</script> b")).toContain("&lt;script&gt;");
    expect(html("<div onclick=x>\n\nb")).toContain("&lt;div onclick=x&gt;");
    expect(html("![a cat](https://e.org/c.png)")).toContain(
      '<a href="https://e.org/c.png">a cat</a>',
    );
    expect(html('![x](" onload="y)')).not.toContain('" onload="');
  });

  it("highlights code of languages that it knows, and escapes what it does not", () => {
    expect(html("```python\nreturn 1\n```")).toContain('<span class="hljs-keyword">return</span>');
    expect(html("```c++\nint a;\n```")).toContain("hljs-type");
    expect(html("```brainfuck\n<b>\n```")).toContain("&lt;b&gt;");
    expect(html('```"><script>\n1\n```')).not.toContain("<script>");
  });

  it("leaves blocks alone that have not changed", () => {
    const [first] = blocksOf("One.\n\nTwo");
    const [again, grown] = blocksOf("One.\n\nTwo and more");
    expect(again).toBe(first);
    expect(grown!.html).toContain("Two and more");
  });
});

describe("what may be shown", () => {
  it("is nothing that runs, loads or looks like the page's own", () => {
    for (const tag of [
      "script",
      "style",
      "img",
      "svg",
      "iframe",
      "form",
      "input",
      "object",
      "button",
    ])
      expect(policy.ALLOWED_TAGS).not.toContain(tag);
    for (const address of [
      "javascript:alert(1)",
      "data:text/html,x",
      "vbscript:x",
      " javascript:x",
    ])
      expect(policy.ALLOWED_URI_REGEXP.test(address), address).toBe(false);
    expect(policy.ALLOWED_URI_REGEXP.test("https://example.org")).toBe(true);
    expect(["hljs-string", "language-c++", "function_"].every(isOwnClass)).toBe(true);
    expect(["danger", "primary", "notice", "hljs"].some(isOwnClass)).toBe(false);
  });
});
