/** What of markup may be shown: text, lists, tables, code and links; no style, no form, nothing that is loaded. */

export const policy = {
  ALLOWED_TAGS: [
    ...["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "strong", "em", "del"],
    ...["ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "span", "a"],
  ],
  ALLOWED_ATTR: ["href", "class", "start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

/** Classes are the highlighter's alone: none of the page's own may be borrowed. */
export const isOwnClass = (name: string): boolean =>
  /^(?:hljs-[\w-]+|language-[\w+#.-]*|function_|class_|inherited__|title|built_in|escape_|constant_)$/.test(
    name,
  );
