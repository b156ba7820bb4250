/**
 * The formats that are enforced, each as a regular expression of what is written in it. What a format leaves
 * open, these leave out: a domain without a dot, a leap second, an address with a zone.
 */

const year = "[0-9]{4}";
const leapYear = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)";
const day31 = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])";
const day30 = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)";
const february = "02-(?:0[1-9]|1[0-9]|2[0-8])";
const date = `(?:${year}-(?:${day31}|${day30}|${february})|${leapYear}-02-29)`;

const hourAndMinute = "(?:[01][0-9]|2[0-3]):[0-5][0-9]";
const time = `${hourAndMinute}:[0-5][0-9](?:[.][0-9]{1,9})?(?:Z|[+-]${hourAndMinute})`;

const label = "[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*";
const domain = `${label}(?:[.]${label})*`;
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const ipv4 = `(?:${byte}[.]){3}${byte}`;

const group = "[0-9A-Fa-f]{1,4}";
const upTo = (groups: number): string => `(?:${group}(?::${group}){0,${groups - 1}})?`;
/** `::` stands for one group at least: before it n groups, after it at most 7 - n. */
const shortened = Array.from({ length: 8 }, (_, before) => {
  const head = before === 0 ? "" : `${group}(?::${group}){${before - 1}}`;
  return `${head}::${before === 7 ? "" : upTo(7 - before)}`;
});
const ipv6 = `(?:(?:${group}:){7}${group}|${shortened.join("|")})`;

const amount = (unit: string, then = ""): string => `[0-9]{1,9}${unit}${then && `(?:${then})?`}`;
const clock = [amount("H", amount("M", amount("S"))), amount("M", amount("S")), amount("S")].join(
  "|",
);
const calendar = [
  amount("Y", amount("M", amount("D"))),
  amount("M", amount("D")),
  amount("D"),
].join("|");
const duration = `P(?:(?:${calendar})(?:T(?:${clock}))?|T(?:${clock})|${amount("W")})`;

const uriCharacter = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const hostCharacter = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})";
const segments = `(?:/${uriCharacter}*)*`;
const tail = `(?:[?](?:${uriCharacter}|[/?])*)?(?:#(?:${uriCharacter}|[/?])*)?`;
const hierarchy = `//${hostCharacter}+(?::[0-9]{1,5})?${segments}`;
const uri = `[A-Za-z][A-Za-z0-9+.-]*:(?:${hierarchy}|${uriCharacter}+${segments})${tail}`;

const hex = (count: number): string => `[0-9A-Fa-f]{${count}}`;

const whole = (expression: string): string => `^(?:${expression})$`;

/** Texts that match all of a format's expressions are in it. */
export const formats: Readonly<Record<string, readonly string[]>> = {
  date: [whole(date)],
  time: [whole(time)],
  "date-time": [whole(`${date}T${time}`)],
  duration: [whole(duration)],
  email: [whole(`${atom}(?:[.]${atom})*@${label}(?:[.]${label})+`)],
  hostname: [whole(domain), "^[^.]{1,63}(?:[.][^.]{1,63})*$", "^.{1,253}$"],
  ipv4: [whole(ipv4)],
  ipv6: [whole(ipv6)],
  uuid: [whole([hex(8), hex(4), hex(4), hex(4), hex(12)].join("-"))],
  uri: [whole(uri)],
};
