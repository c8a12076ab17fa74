/** What messages of kernels are made of: numbers and device names, in every spelling that one has used. */

const MAX_DIGITS = 16;

/** The number that hex digits stand for, with or without `0x`; undefined where it is none of 64 bits. */
export function hexWord(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const digits = /^0x/i.test(text) ? text.slice(2) : text;
  return digits.length <= MAX_DIGITS && /^[0-9a-f]+$/i.test(digits) ? BigInt(`0x${digits}`) : undefined;
}

/** As `hexWord`, for what fits a double. */
export function smallHex(text: string | undefined): number | undefined {
  const value = hexWord(text);
  return value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(value);
}

/** A PCI device as a message names it. */
export interface PciDevice {
  /** "ssss:bb:dd.f", or "bb:dd.f" where the message gives no segment. */
  readonly name: string;
  readonly segment: number | undefined;
  /** Bus, device and function in 16 bits. */
  readonly requester: number;
}

/** Linux 5.14-rc wrote `0x` before each number. */
const PCI = /^(?:(?:0x)?([0-9a-f]{4}):)?(?:0x)?([0-9a-f]{1,2}):(?:0x)?([01]?[0-9a-f])\.(?:0x)?([0-7])$/i;

/** A PCI device's name in any spelling, or undefined. */
export function pciDevice(text: string): PciDevice | undefined {
  const found = PCI.exec(text);
  if (found === null) return undefined;
  const [, segment, bus, slot, fn] = found;
  const busNumber = Number.parseInt(bus!, 16);
  const slotNumber = Number.parseInt(slot!, 16);
  const two = (n: number) => n.toString(16).padStart(2, "0");
  const name = `${two(busNumber)}:${two(slotNumber)}.${fn}`;
  return {
    name: segment === undefined ? name : `${segment.toLowerCase()}:${name}`,
    segment: segment === undefined ? undefined : Number.parseInt(segment, 16),
    requester: (busNumber << 8) | (slotNumber << 3) | Number(fn),
  };
}
