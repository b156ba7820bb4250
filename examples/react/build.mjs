// Bundles the page; with --serve it also serves it, and bundles again with every visit.
import { build, context } from "esbuild";

const options = {
  entryPoints: ["app.jsx"],
  outdir: "dist",
  bundle: true,
  format: "esm",
  jsx: "automatic",
  minify: true,
};
if (process.argv.includes("--serve")) {
  const server = await (await context(options)).serve({ servedir: ".", host: "127.0.0.1", port: 5173 });
  console.log(`http://127.0.0.1:${server.port}/`);
} else await build(options);
