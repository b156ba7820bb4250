/**
 * A regular expression as JSON Schema has it (ECMAScript's, with the flag u) in the words of the grammars'
 * library (Rust's), so that both match the same texts. Owns what differs between the two: classes of
 * characters, the dot, names, laziness. Throws `Untranslatable`.
 */

/** `message`: what of it no grammar can do. */
export class Untranslatable extends Error {}

/** Control characters that are written with a letter; others are not written. */
const shortNames = "\b\t\n\f\r";

/** ECMAScript's white space, as members of a class. */
const space = String.raw`\t\n\x0B\x0C\r \u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}`;
const anyButLineEnd = String.raw`[^\n\r\u{2028}\u{2029}]`;
const digits = "0-9";
const wordCharacters = "0-9A-Za-z_";

const lookArounds = ["(?=", "(?!", "(?<=", "(?<!"];

export function translated(pattern: string): string {
  try {
    new RegExp(pattern, "u");
  } catch {
    throw new Untranslatable("it is no regular expression of ECMAScript with the flag u");
  }
  return new Translation(pattern).all();
}

class Translation {
  private at = 0;
  private out = "";

  constructor(private readonly pattern: string) {}

  all(): string {
    while (this.at < this.pattern.length) this.next();
    return this.out;
  }

  private next(): void {
    const character = this.take();
    switch (character) {
      case "\\":
        this.out += this.escape();
        return;
      case ".":
        this.out += anyButLineEnd;
        return;
      case "[":
        this.out += this.characterClass();
        return;
      case "(":
        this.out += this.group();
        return;
      case "*":
      case "+":
      case "?":
        this.quantified(character);
        return;
      case "{":
        this.quantified(`{${this.until("}")}}`);
        return;
      case "^":
      case "$":
      case "|":
      case ")":
        this.out += character;
        return;
      default:
        this.out += this.single(character.codePointAt(0)!);
    }
  }

  /** The library would leave it out and go on. */
  private single(codePoint: number): string {
    if (codePoint === 0x7f || (codePoint < 0x20 && writable(codePoint, codePoint) === ""))
      throw new Untranslatable("control characters can't be written");
    return literal(codePoint);
  }

  /** Whether a text matches doesn't depend on laziness. */
  private quantified(quantifier: string): void {
    if (this.pattern[this.at] === "?") this.at++;
    this.out += quantifier;
  }

  private group(): string {
    const rest = this.pattern.slice(this.at - 1, this.at + 3);
    if (lookArounds.some((sign) => rest.startsWith(sign)))
      throw new Untranslatable("it looks ahead or behind");
    if (rest.startsWith("(?:")) this.at += 2;
    else if (rest.startsWith("(?<")) this.until(">");
    else if (rest.startsWith("(?")) throw new Untranslatable("it changes flags inside");
    return "(?:";
  }

  private escape(): string {
    const next = this.pattern[this.at]!;
    if (next === "b" || next === "B") throw new Untranslatable("it looks for the border of a word");
    if (next === "k" || /[1-9]/.test(next))
      throw new Untranslatable("it refers back to what a group has matched");
    const members = this.classEscape();
    return members === undefined ? this.single(this.codePoint()) : `[${members}]`;
  }

  /** After a backslash: the members of a class by its letter; undefined: it is a single character. */
  private classEscape(): string | undefined {
    const letter = this.pattern[this.at]!;
    if (letter === "p" || letter === "P") {
      this.at += 1;
      return `\\${letter}${this.pattern[this.at]}${this.property()}}`;
    }
    const members: Readonly<Record<string, string>> = {
      d: digits,
      D: `[^${digits}]`,
      w: wordCharacters,
      W: `[^${wordCharacters}]`,
      s: space,
      S: `[^${space}]`,
    };
    if (!Object.hasOwn(members, letter)) return undefined;
    this.at += 1;
    return members[letter];
  }

  private property(): string {
    this.at += 1;
    return this.until("}");
  }

  private characterClass(): string {
    const isNegated = this.pattern[this.at] === "^";
    if (isNegated) this.at++;
    let members = "";
    const from = this.at;
    while (this.pattern[this.at] !== "]") members += this.member(isNegated);
    const isEmpty = this.at === from;
    this.at++;
    if (isEmpty && isNegated) return "(?s:.)";
    if (members === "")
      throw new Untranslatable("a class in it has nothing that can be written in JSON");
    return `[${isNegated ? "^" : ""}${members}]`;
  }

  private member(isNegated: boolean): string {
    const first = this.classAtom();
    if (typeof first === "string") return first;
    const isRange = this.pattern[this.at] === "-" && this.pattern[this.at + 1] !== "]";
    if (isRange) this.at++;
    // ECMAScript refuses a class as an end of a range.
    const last = isRange ? (this.classAtom() as number) : first;
    if (!isNegated && last < 0x20) return writable(first, last);
    if (!isNegated && first === 0x7f && last === first) return "";
    return isRange ? `${literal(first)}-${literal(last)}` : literal(first);
  }

  /** One code point, or the members of a class inside the class. */
  private classAtom(): number | string {
    const character = this.take();
    if (character !== "\\") return character.codePointAt(0)!;
    if (this.pattern[this.at] === "b") {
      this.at++;
      return 8;
    }
    return this.classEscape() ?? this.codePoint();
  }

  /** After a backslash, where it stands for one character. */
  private codePoint(): number {
    const character = this.take();
    switch (character) {
      case "n":
        return 10;
      case "r":
        return 13;
      case "t":
        return 9;
      case "v":
        return 11;
      case "f":
        return 12;
      case "0":
        return 0;
      case "c":
        return this.take().codePointAt(0)! % 32;
      case "x":
        return this.hex(2);
      case "u":
        return this.unicode();
      default:
        return character.codePointAt(0)!;
    }
  }

  private unicode(): number {
    if (this.pattern[this.at] === "{") {
      this.at++;
      return Number.parseInt(this.until("}"), 16);
    }
    const unit = this.hex(4);
    const isHigh = unit >= 0xd800 && unit <= 0xdbff;
    if (isHigh && this.pattern.startsWith("\\u", this.at)) {
      this.at += 2;
      return 0x10000 + (unit - 0xd800) * 0x400 + (this.hex(4) - 0xdc00);
    }
    if (unit >= 0xd800 && unit <= 0xdfff)
      throw new Untranslatable("it names half a character (a lone surrogate)");
    return unit;
  }

  private hex(length: number): number {
    const text = this.pattern.slice(this.at, this.at + length);
    this.at += length;
    return Number.parseInt(text, 16);
  }

  /** One whole character. */
  private take(): string {
    const character = String.fromCodePoint(this.pattern.codePointAt(this.at)!);
    this.at += character.length;
    return character;
  }

  /** What stands before `end`, which is passed over. */
  private until(end: string): string {
    const to = this.pattern.indexOf(end, this.at);
    const text = this.pattern.slice(this.at, to);
    this.at = to + 1;
    return text;
  }
}

/** Of the control characters from `first` to `last` those that JSON has a short name for. */
function writable(first: number, last: number): string {
  const named = [...shortNames].map((character) => character.charCodeAt(0));
  return named
    .filter((code) => code >= first && code <= last)
    .map(literal)
    .join("");
}

/** One character, in a class or outside. */
function literal(codePoint: number): string {
  const character = String.fromCodePoint(codePoint);
  return /^[A-Za-z0-9_]$/.test(character) ? character : `\\u{${codePoint.toString(16)}}`;
}
