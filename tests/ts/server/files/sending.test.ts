/** Which form of a file a client gets. */
import { expect, it } from "vitest";
import { encodingFor } from "../../../../src-ts/server/files/sending.js";

it.each([
  [undefined, "identity"],
  ["", "identity"],
  ["gzip, deflate, br, zstd", "br"],
  ["gzip;q=1.0, br;q=0", "gzip"],
  ["identity", "identity"],
  ["*", "br"],
  ["GZIP", "gzip"],
])("Accept-Encoding %s gets %s", (accepted, encoding) => {
  expect(encodingFor(accepted)).toBe(encoding);
});

it("gives only what there is", () => {
  expect(encodingFor("br, gzip", ["gzip"])).toBe("gzip");
  expect(encodingFor("br", ["gzip"])).toBe("identity");
});
