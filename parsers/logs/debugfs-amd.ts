/**
 * Lines of /sys/kernel/debug/iommu/amd (Linux drivers/iommu/amd/debugfs.c, since about 6.17): `mmio` and `capability`
 * (one register, after its offset was written), `cmdbuf`, `devtbl`.
 */
import { hexWord, type PciDevice, pciDevice, smallHex } from "./kernel-text.ts";

export type AmdDebugfsLine =
  /** `mmio` prints 64 bits, `capability`, whose offsets are others, 32. */
  | {
      readonly kind: "register";
      readonly offset: number;
      readonly value: bigint;
      readonly capability: boolean;
    }
  | { readonly kind: "buffer-place"; readonly head: number; readonly tail: number }
  /** A command: four 32-bit words. */
  | { readonly kind: "buffer-row"; readonly index: number; readonly words: readonly number[] }
  | {
      readonly kind: "device-entry";
      readonly device: PciDevice;
      /** Lowest word first. */
      readonly words: readonly bigint[];
      readonly iommu: string;
    }
  | { readonly kind: "heading" };

const REGISTER = /^\s*Offset:0x([0-9a-f]{1,5}) Value:0x([0-9a-f]{1,16})\s*$/i;
const PLACE = /^\s*CMD Buffer Head Offset:(\d{1,6}) Tail Offset:(\d{1,6})\s*$/i;
const ROW = /^\s*(\d{1,6}): ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{8})\s*$/i;
const DEVICE = /^\s*([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])((?: [0-9a-f]{16}){4}) (\S+)\s*$/i;
const HEADING = /^\s*DeviceId\s+(?:QWORD|[0-9a-f]{4}:)|^\s*IRT\[[0-9a-f]+\]/i;

export function amdDebugfsLine(text: string): AmdDebugfsLine | undefined {
  const row = ROW.exec(text);
  if (row !== null)
    return {
      kind: "buffer-row",
      index: Number(row[1]),
      words: row.slice(2).map((word) => smallHex(word)!),
    };
  const register = REGISTER.exec(text);
  if (register !== null)
    return {
      kind: "register",
      offset: smallHex(register[1])!,
      value: hexWord(register[2])!,
      capability: register[2]!.length <= 8,
    };
  const entry = DEVICE.exec(text);
  const device = entry === null ? undefined : pciDevice(entry[1]!);
  if (entry !== null && device !== undefined)
    return {
      kind: "device-entry",
      device,
      words: entry[2]!
        .trim()
        .split(" ")
        .map((word) => hexWord(word)!)
        .reverse(),
      iommu: entry[3]!,
    };
  const place = PLACE.exec(text);
  if (place !== null) return { kind: "buffer-place", head: Number(place[1]), tail: Number(place[2]) };
  return HEADING.test(text) ? { kind: "heading" } : undefined;
}
