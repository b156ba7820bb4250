/** GGUF files without tensors. */

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

export const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

export const ggufText = (text: string): Buffer =>
  Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);

/** `values`: texts, or a type and the bytes after it. */
export function ggufFile(values: Record<string, string | Buffer>, version = 3): Buffer {
  const entries = Object.entries(values).map(([key, value]) =>
    Buffer.concat([
      ggufText(key),
      ...(typeof value === "string" ? [u32(8), ggufText(value)] : [value]),
    ]),
  );
  const head = [Buffer.from("GGUF"), u32(version), u64(0), u64(entries.length)];
  return Buffer.concat([...head, ...entries]);
}
