/** Ids of the fields that keys jump to. */

export const composerId = "composer";
export const searchId = "search-conversations";
