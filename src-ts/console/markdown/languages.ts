/** The languages that are highlighted: twelve, and the names by which models call them. */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import go from "highlight.js/lib/languages/go";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const languages = {
  ...{ bash, cpp, css, go, javascript, json },
  ...{ python, rust, sql, typescript, xml, yaml },
};

for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);
hljs.registerAliases(["zsh", "shell", "console"], { languageName: "bash" });
hljs.registerAliases(["c", "h", "objc"], { languageName: "cpp" });

/** A longer text would hold the page up. */
const charsMax = 60_000;

/** Markup of the code; undefined where its language is none of ours. */
export function highlighted(code: string, language: string): string | undefined {
  if (code.length > charsMax || hljs.getLanguage(language) === undefined) return undefined;
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
