// Brightness of the burnt-in 4 x 16 blocks -> the moment the picture was made.
//
// The layout is that of test-source/src/blocks.rs: 42 bits of Unix milliseconds, 12 of the picture's number, 10 of CRC.

/** Where the blocks lie in a mono equirectangular picture, as shares of its width and height. */
export const PLACE = { left: 156 / 360, top: 94.5 / 180, width: 48 / 360, height: 12 / 180, columns: 16, rows: 4 };

const CRC_BITS = 10;
const CONTRAST_MIN = 40;

function crc(bits) {
  return bits.reduce((sum, bit) => {
    const shifted = (sum << 1) & 0x3ff;
    return ((sum >> 9) & 1) !== bit ? shifted ^ 0x233 : shifted;
  }, 0x3ff);
}

const number = (bits) => bits.reduce((value, bit) => value * 2 + bit, 0);

/** `{ unixMs, frame }`, or null where the values show no blocks. `values`: 64 of 0 to 255, row by row. */
export function decode(values) {
  if (!values || values.length !== 64) return null;
  const [dark, bright] = [Math.min(...values), Math.max(...values)];
  if (bright - dark < CONTRAST_MIN) return null;
  const bits = values.map((value) => Number(value > (dark + bright) / 2));
  const message = bits.slice(0, 64 - CRC_BITS);
  if (crc(message) !== number(bits.slice(64 - CRC_BITS))) return null;
  return { unixMs: number(message.slice(0, 42)), frame: number(message.slice(42)) };
}
