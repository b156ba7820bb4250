/**
 * A part of `npm run build:ts`: bundles the one compiled file that imports OpenTelemetry's SDK with the SDK, in its
 * place, so that the package depends on none of it (docs/decisions/0032-telemetry-is-bundled.md).
 *
 *   node scripts/bundle-telemetry.mjs
 */
import { bundleTelemetry } from "./lib/telemetry.mjs";

const { bytes, ms } = await bundleTelemetry();
process.stdout.write(`telemetry: ${(bytes / 1000).toFixed(0)} KB, ${ms} ms\n`);
