/** Anchors of headings, as GitHub makes them: a link is good in the repository and in the site alike. */
import { slug } from "github-slugger";

/** @param {string} heading Its text, without marks. */
export const slugOf = (heading) => slug(heading);
