/** Vectors of texts as answers show them: of fewer dimensions, in base64, compared. Pure. */
import { failure } from "../../failures.js";

/** As a worker sends them: little-endian float32, one vector after another. */
export function vectorsIn(packed: Uint8Array, count: number): Float32Array[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const dimensions = packed.byteLength / 4 / count;
  return Array.from({ length: count }, (_, row) =>
    Float32Array.from({ length: dimensions }, (_, i) =>
      view.getFloat32((row * dimensions + i) * 4, true),
    ),
  );
}

/** The first `dimensions` numbers, of length 1 again. Throws 400 where there are fewer. */
export function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions > vector.length)
    throw failure("invalid_value", {
      message: `dimensions must be at most ${vector.length}, what this model's vectors have.`,
      param: "dimensions",
    });
  if (dimensions === vector.length) return vector;
  const some = vector.slice(0, dimensions);
  const length = Math.sqrt(dot(some, some));
  return length === 0 ? some : some.map((value) => value / length);
}

/** Of vectors of length 1 their cosine. */
export function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

export function inBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, i) => void bytes.writeFloatLE(value, i * 4));
  return bytes.toString("base64");
}
