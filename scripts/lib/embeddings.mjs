/** Vectors of a server beside those of a reference. Pure. */

/** Of a cosine, and of the cosines between the texts of a list. */
export const differenceMax = 1e-3;

/** @param {string} packed Base64 of little-endian float16. @returns {number[][]} */
export function halvesIn(packed, count) {
  const bytes = Buffer.from(packed, "base64");
  const dimensions = bytes.length / 2 / count;
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: dimensions }, (_, i) =>
      half(bytes.readUInt16LE((row * dimensions + i) * 2)),
    ),
  );
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

/**
 * @returns {{ cosineMin: number, betweenMax: number, lengthMax: number }} The smallest cosine of a vector with its
 *   reference; how far cosines between two texts are from the reference's at most, and lengths from 1.
 */
export function compared(vectors, reference) {
  const pairs = vectors.flatMap((_, i) => vectors.slice(i).map((_, j) => [i, i + j]));
  return {
    cosineMin: Math.min(...vectors.map((vector, i) => cosine(vector, reference[i]))),
    betweenMax: Math.max(
      ...pairs.map(([i, j]) =>
        Math.abs(dot(vectors[i], vectors[j]) - cosine(reference[i], reference[j])),
      ),
    ),
    lengthMax: Math.max(...vectors.map((vector) => Math.abs(Math.sqrt(dot(vector, vector)) - 1))),
  };
}

export function isSame({ cosineMin, betweenMax, lengthMax }) {
  return 1 - cosineMin < differenceMax && betweenMax < differenceMax && lengthMax < differenceMax;
}
