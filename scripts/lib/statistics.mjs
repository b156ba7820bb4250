/**
 * The middle value, or the mean of the two in the middle.
 * @param {readonly number[]} values At least one.
 */
export function medianOf(values) {
  const ascending = [...values].sort((a, b) => a - b);
  const middle = (ascending.length - 1) / 2;
  return (ascending[Math.floor(middle)] + ascending[Math.ceil(middle)]) / 2;
}
