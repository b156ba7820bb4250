/** Bodies of HTTP requests: JSON, perhaps compressed, or none. Knows headers and bytes, no route. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { parseJson } from "../json/read.js";
import type { ServerLimits } from "../options.js";
import { BodyDecoder, encodingsOf, refuseUndeclared } from "./content-encoding.js";

export interface BodyConfig {
  /** Can do without a body: an empty one is none, whatever its headers say of it. */
  needsNoBody?: boolean;
  /** A body is JSON whatever type it is said to have: `curl -d` says that of a form. */
  isAlwaysJson?: boolean;
}

export function takeBodies(app: FastifyInstance, limits: ServerLimits): void {
  const decoder = new BodyDecoder(limits.bodyBytesMax);
  app.removeAllContentTypeParsers();
  app.addHook("preParsing", async (request) => {
    if (request.is404) return;
    const { headers } = request;
    const { isAlwaysJson, needsNoBody } = bodyConfigOf(request);
    if (!isDeclaredEmpty(request)) {
      encodingsOf(headers);
      if (isAlwaysJson) headers["content-type"] = "application/json";
    }
    // Clients put the type on every request; the framework would look for what is of it.
    else if (needsNoBody) delete headers["content-type"];
  });
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (request: FastifyRequest, body: Buffer) => {
      const { needsNoBody } = bodyConfigOf(request);
      if (body.length === 0 && needsNoBody) return undefined;
      const { jsonDepthMax: depthMax, jsonValuesMax: valuesMax } = limits;
      const layers = body.length === 0 ? [] : encodingsOf(request.headers);
      const read = (bytes: Buffer) => {
        // What a decoded body takes is its length, not what came over the wire.
        request.lease?.hold(bytes.length);
        return parseJson(bytes, { depthMax, valuesMax });
      };
      if (layers.length > 0) return decoder.decode(body, layers, read);
      refuseUndeclared(body);
      return read(body);
    },
  );
}

function bodyConfigOf(request: FastifyRequest): BodyConfig {
  return request.routeOptions.config;
}

function isDeclaredEmpty({ headers }: FastifyRequest): boolean {
  const { "content-length": length, "transfer-encoding": transfer } = headers;
  return transfer === undefined && (length === undefined || length === "0");
}
