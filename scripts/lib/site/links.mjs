/** Links of a page, as they stand in its Markdown: found, and replaced. */
import { posix } from "node:path";

/** A fence, an inline code, or a link: in what comes before nothing is a link. */
const pieces =
  /(^[ \t]*(```+)[^\n]*\n[\s\S]*?^[ \t]*\2[ \t]*$|(`+)[^`][\s\S]*?\3(?!`))|(\]\()([^)\s]+)(\))/gm;

/**
 * The page with each link replaced by what `replace` makes of it.
 * @param {string} markdown
 * @param {(href: string) => string} replace
 */
export function withLinks(markdown, replace) {
  return markdown.replace(pieces, (whole, code, _fence, _tick, open, href, close) =>
    code === undefined ? `${open}${replace(href)}${close}` : whole,
  );
}

/** @returns {string[]} */
export function linksOf(markdown) {
  const found = [];
  withLinks(markdown, (href) => {
    found.push(href);
    return href;
  });
  return found;
}

/**
 * What a link of a page leads to.
 * @param {string} from The page's path in the repository.
 * @param {string} href
 * @returns {{ outside: string } | { path: string, anchor?: string }} `path`: in the repository, without a `/` at its end.
 */
export function targetOf(from, href) {
  if (/^[a-z][a-z\d+.-]*:|^\/\//i.test(href)) return { outside: href };
  const [path = "", anchor] = href.split("#");
  const joined = path === "" ? from : posix.join(posix.dirname(from), decodeURIComponent(path));
  return { path: joined.replace(/\/$/, ""), ...(anchor === undefined ? {} : { anchor }) };
}
