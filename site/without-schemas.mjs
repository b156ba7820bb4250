/** A plugin of TypeDoc: leaves Zod's schemas out, whose types fill pages; what they describe is in the reference of HTTP. */
import { Converter, ReflectionKind } from "typedoc";

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const schemas = project
      .getReflectionsByKind(ReflectionKind.Variable)
      .filter(({ type }) => type?.type === "reference" && type.name.startsWith("Zod"));
    for (const schema of schemas) project.removeReflection(schema);
  });
}
