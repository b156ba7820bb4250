/** The reference of HTTP and of the socket, made of the documents that the server gives: pages by their names. Pure. */

import { fieldsTable, typeOf } from "./json-schema.mjs";
import { slugOf } from "./slugs.mjs";

const schemaLink = (page) => (name) => `${page}#${slugOf(name)}`;
const block = (value) => `\`\`\`json\n${JSON.stringify(value, undefined, 2)}\n\`\`\``;
const exampleLinesMax = 60;

/**
 * @param {any} openApi
 * @param {any} asyncApi
 * @returns {Record<string, string>} Markdown by page.
 */
export function httpReference(openApi, asyncApi) {
  return {
    http: routesPage(openApi),
    "http-schemas": schemasPage(
      "Bodies of HTTP",
      "Every object that [the routes](http.md) take and give. A `*` marks what must be there. The same as `GET /openapi.json` says.",
      openApi.components.schemas,
      "",
    ),
    socket: socketPage(asyncApi),
    "socket-schemas": schemasPage(
      "Bodies of the socket",
      "Every object that stands in [messages of the WebSocket](socket.md). A `*` marks what must be there. The same as `GET /asyncapi.json` says.",
      asyncApi.components.schemas,
      "",
    ),
  };
}

function routesPage({ paths, components, info }) {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => ["get", "post", "put", "delete"].includes(method))
      .map(([method, operation]) =>
        operationText(`${method.toUpperCase()} \`${path}\``, operation, components),
      ),
  );
  const head = [
    "# Routes of HTTP",
    `Generated from the server's own schemas, version ${info.version}; a running server has them as \`GET /openapi.json\`. What no schema can say is in [the protocol](../PROTOCOL.md). A \`*\` marks what must be there.`,
  ];
  return [...head, ...operations].join("\n\n");
}

function operationText(
  title,
  { summary, description, parameters = [], requestBody, responses },
  { schemas, responses: shared },
) {
  const linkOf = schemaLink("http-schemas.md");
  const parts = [`## ${title}`, summary, description];
  if (parameters.length > 0)
    parts.push(
      fieldsTable(
        {
          properties: Object.fromEntries(
            parameters.map(({ name, schema, description: said, in: place }) => [
              name,
              { ...schema, description: `${place}. ${said ?? ""}`.trim() },
            ]),
          ),
          required: parameters.filter(({ required }) => required).map(({ name }) => name),
        },
        linkOf,
      ),
    );
  const json = requestBody?.content?.["application/json"];
  if (json !== undefined) {
    parts.push(`**Body**: ${typeOf(json.schema, linkOf)}`);
    const named = schemas[json.schema.$ref?.split("/").at(-1)];
    parts.push(fieldsTable(named ?? json.schema, linkOf), exampleOf(json));
  }
  parts.push("**Answers**", answersTable(responses, shared, linkOf), firstExample(responses));
  return parts.filter(Boolean).join("\n\n");
}

function exampleOf({ example, examples }) {
  const value = example ?? Object.values(examples ?? {})[0]?.value;
  if (value === undefined) return "";
  const text = block(value);
  return text.split("\n").length > exampleLinesMax ? "" : text;
}

function firstExample(responses) {
  const json = responses["200"]?.content?.["application/json"];
  return json === undefined ? "" : exampleOf(json);
}

function answersTable(responses, shared, linkOf) {
  const rows = Object.entries(responses).map(([status, given]) => {
    const answer = given.$ref === undefined ? given : shared[given.$ref.split("/").at(-1)];
    const types = Object.entries(answer.content ?? {}).map(([type, { schema }]) =>
      type === "application/json" ? typeOf(schema, linkOf) : `\`${type}\``,
    );
    return `| ${status} | ${answer.description.replaceAll("|", "\\|").replaceAll("\n", " ")} | ${types.join(", ").replaceAll("|", "\\|")} |`;
  });
  return ["| status | | |", "|---|---|---|", ...rows].join("\n");
}

function schemasPage(title, words, schemas) {
  const linkOf = schemaLink("");
  const parts = Object.entries(schemas).map(([name, schema]) => {
    const table = fieldsTable(schema, linkOf);
    const said = schema.description === undefined ? [] : [schema.description];
    return [`## ${name}`, ...said, table === "" ? typeOf(schema, linkOf) : table].join("\n\n");
  });
  return [`# ${title}`, words, ...parts].join("\n\n");
}

function socketPage({ components: { messages, schemas }, operations }) {
  const linkOf = schemaLink("socket-schemas.md");
  const nameOf = ({ $ref }) => $ref.split("/").at(-1);
  const sentBy = (action) =>
    new Set(
      Object.values(operations)
        .filter((one) => one.action === action)
        .flatMap((one) => one.messages.map(nameOf)),
    );
  const section = (title, names) => [
    `## ${title}`,
    ...Object.entries(messages)
      .filter(([name]) => names.has(name))
      .map(([name, { payload, summary, name: shown }]) => {
        const named = payload.$ref === undefined ? payload : schemas[nameOf(payload)];
        const table = fieldsTable(named, linkOf);
        return [`### ${shown ?? name}`, summary, table === "" ? typeOf(payload, linkOf) : table]
          .filter(Boolean)
          .join("\n\n");
      }),
  ];
  // An operation's action is what the server does.
  return [
    "# Messages of the socket",
    "Generated from the server's own schemas; a running server has them as `GET /asyncapi.json`. How they follow one another is in [the protocol](../PROTOCOL.md#websocket). A `*` marks what must be there.",
    ...section("A client sends", sentBy("receive")),
    ...section("The server sends", sentBy("send")),
  ].join("\n\n");
}
