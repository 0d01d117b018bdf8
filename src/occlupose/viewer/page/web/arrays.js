/** Arrays as Python packs them: whole numbers of steps above the lowest, in base64; all bits set means unknown. */

const WHOLE = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array };

/** The bytes of a base64 text. */
export function decodeBase64(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at += 1) {
    bytes[at] = binary.charCodeAt(at);
  }
  return bytes;
}

/** The numbers of a packed array, row by row, NaN where unknown; null for null. */
export function unpack(packed) {
  if (packed === null) {
    return null;
  }
  const whole = new WHOLE[packed.bits](decodeBase64(packed.data).buffer);
  const unknown = 2 ** packed.bits - 1;
  return Float64Array.from(whole, (steps) => (steps === unknown ? NaN : (packed.low + steps) * packed.step));
}

/** Number of the value that is nearest to a time in ascending times; -1 without values. */
export function nearest(times, time) {
  let low = 0;
  let high = times.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high > low && times[high] - time < time - times[low] ? high : Math.min(low, high);
}
