/** Takes a byte stream apart into the `data:` fields of server-sent events. */

/**
 * Returns a function that takes chunks of text and calls `onData` with each event's data. Comments
 * and other fields are skipped; several `data:` lines of one event are joined with a line feed.
 */
export function sseParser(onData: (data: string) => void): (chunk: string) => void {
  let rest = "";
  let data: string | undefined;
  const takeLine = (line: string) => {
    if (line === "") {
      if (data !== undefined) onData(data);
      data = undefined;
    } else if (line.startsWith("data:")) {
      const value = line.slice(line[5] === " " ? 6 : 5);
      data = data === undefined ? value : `${data}\n${value}`;
    }
  };
  return (chunk) => {
    rest += chunk;
    let start = 0;
    for (let end = rest.indexOf("\n"); end !== -1; end = rest.indexOf("\n", start)) {
      takeLine(
        rest[end - 1] === "\r" && end > start ? rest.slice(start, end - 1) : rest.slice(start, end),
      );
      start = end + 1;
    }
    rest = rest.slice(start);
  };
}
