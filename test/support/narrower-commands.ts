/** An invalidation made narrower: of less, in raw words of the specifications. */
import { decodeCommand } from "../../walkers/commands/command.ts";
import type { IommuModel } from "../../walkers/models.ts";

/** What is still invalidated: of one request, its page, its device's number and its PASID. */
export interface Left {
  readonly page: bigint;
  readonly device: bigint;
  readonly pasid: bigint;
}

type Words = readonly bigint[];
type Narrow = (words: Words, left: Left) => Words | null;

const bits = (word: bigint, low: bigint, width: bigint) => (word >> low) & ((1n << width) - 1n);

/** VT-d 5.10, 6.5.2: type at 3:0, granularity at 5:4 (3: one page, or one device), AM at 5:0 of the second word. */
const vtd: Narrow = ([low, high, ...rest], { page, device, pasid }) => {
  const granularity = bits(low!, 4n, 2n);
  const [mask, hint] = [bits(high!, 0n, 6n), high! & 0x40n];
  switch (bits(low!, 0n, 4n)) {
    case 1n:
      return granularity === 3n ? null : [low! | 0x30n | (device << 32n), high!, ...rest];
    case 2n:
    case 6n:
      if (granularity === 2n) return [low! | 0x10n, page, ...rest];
      return granularity === 3n && mask > 0n ? [low!, (page & ~0xfffn) | hint | (mask - 1n), ...rest] : null;
    case 7n:
      return granularity === 0n ? [low! | 0x10n | (pasid << 32n), high!, ...rest] : null;
    default:
      return null;
  }
};

/** IHI 0070, 4.3 and 4.4: opcode at 7:0, Leaf at bit 0 of the second word. */
const smmuv3: Narrow = ([low, high], { page, device, pasid }) => {
  const id = low! & ~0xffffn;
  switch (bits(low!, 0n, 8n)) {
    case 0x04n:
      return [0x3n | (device << 32n), 1n];
    case 0x06n:
      return [0x5n | (pasid << 12n) | (bits(low!, 32n, 32n) << 32n), 1n];
    case 0x10n:
      return [0x13n | id, page];
    case 0x11n:
      return [0x12n | id, page];
    case 0x12n:
    case 0x13n:
      return (high! & 1n) === 0n ? [low!, high! | 1n] : null;
    default:
      return null;
  }
};

/** AMD 48882, 2.4.3: opcode at 63:60, S and PDE at bits 0 and 1 of the second word. */
const amd: Narrow = ([low, high], { page }) => {
  if (bits(low!, 60n, 4n) !== 3n) return null;
  if ((high! & 1n) !== 0n) return [low!, page | (high! & 6n)];
  return (high! & 2n) !== 0n ? [low!, high! & ~2n] : null;
};

/** RISC-V IOMMU 1.0, 3.1: opcode and func3 at 9:0, AV at 10, DV at 33, NL at 34; the address at 10 of the second word. */
const riscv: Narrow = ([low, high], { page, device }) => {
  const address = (page >> 12n) << 10n;
  switch (bits(low!, 0n, 10n)) {
    case 0x001n:
      if ((low! & (1n << 10n)) === 0n) return [low! | (1n << 10n), address];
      return (low! & (1n << 34n)) !== 0n ? [low! & ~(1n << 34n), high!] : null;
    case 0x081n:
      return (low! & (1n << 33n)) !== 0n && (low! & (1n << 10n)) === 0n
        ? [low! | (1n << 10n), address]
        : null;
    case 0x003n:
      return (low! & (1n << 33n)) === 0n ? [low! | (1n << 33n) | (device << 40n), high!] : null;
    default:
      return null;
  }
};

const NARROW: Readonly<Record<IommuModel, Narrow>> = { intel: vtd, "arm-smmuv3": smmuv3, amd, riscv };

/** @returns null where it cannot be made narrower here */
export function narrower(model: IommuModel, data: readonly string[], left: Left): string[] | null {
  const words = NARROW[model](
    data.map((text) => BigInt(text)),
    left,
  );
  if (words === null) return null;
  const halves = words.map((value) => ({
    hi: Number(BigInt.asIntN(32, value >> 32n)),
    lo: Number(BigInt.asIntN(32, value)),
  }));
  const { problems, invalidation } = decodeCommand(model, halves);
  if (problems.length > 0 || invalidation === null) return null;
  return words.map((value) => `0x${value.toString(16)}`);
}
