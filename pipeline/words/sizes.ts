const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A number of bytes in the largest unit that gives it exactly: "64 KiB", "2052 KiB" (powers of 1024). */
export function binarySize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value} ${BINARY_UNITS[unit]}`;
}

/** A total of bytes, where nobody counts them: "12.3 MiB", "8 KiB", at most one decimal (powers of 1024). */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1023.95 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${BINARY_UNITS[unit]}`;
}

/** A count or rate for a person: "950", "12.3 k", "1.2 M". */
export function formatCount(count: number): string {
  if (count < 1000) return count.toFixed(0);
  if (count < 999_950) return `${(count / 1000).toFixed(1)} k`;
  return `${(count / 1e6).toFixed(2)} M`;
}
