// expect: TS2339
// A tool has the arguments of its schema.
import { tool } from "mlx-serving/client";
import { z } from "zod";

const parameters = z.object({ city: z.string() });
export const weather = tool({ name: "weather", parameters, execute: ({ town }) => town });
