/**
 * Where in a text each of its tokens begins, from their bytes. Counts characters (code points), as
 * OpenAI does; what begins in the middle of a character begins where that does.
 */

const isContinuation = (byte: number) => (byte & 0xc0) === 0x80;

export class TextPlaces {
  // As the worker's: what is no UTF-8 becomes U+FFFD, one for each part that could have been some.
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Characters that are complete. */
  private count = 0;
  /** Bytes of the character that is not. */
  private pending = 0;
  /** Characters that began and ended with the last byte. */
  private ended = 0;

  /** The place of the next token. */
  next(bytes: readonly number[]): number {
    let place: number | undefined;
    for (const byte of bytes) {
      const goesOn = this.add(byte);
      place ??= goesOn ? this.count - (this.pending === 0 ? 1 : 0) : this.count - this.ended;
    }
    return place ?? this.count;
  }

  /** Whether the byte belongs to the character before it. */
  private add(byte: number): boolean {
    const text = this.decoder.decode(Uint8Array.of(byte), { stream: true });
    const complete = [...text].length;
    const hadPending = this.pending > 0;
    const goesOn = hadPending && isContinuation(byte) && complete <= 1;
    const replaced = hadPending && !goesOn ? 1 : 0;
    this.ended = complete - replaced;
    this.count += complete;
    if (goesOn) this.pending = complete === 0 ? this.pending + 1 : 0;
    else this.pending = this.ended === 0 ? 1 : 0;
    return goesOn;
  }
}
