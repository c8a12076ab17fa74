/** What emulated machines of x86 have in common. */
import type { MemoryRange } from "./world.ts";

/** A processor that does nothing: hlt everywhere, and `cli; hlt; jmp` where it begins. */
export function haltingFirmware(): Uint8Array {
  const bytes = new Uint8Array(0x1_0000).fill(0xf4);
  bytes.set([0xfa, 0xf4, 0xeb, 0xfd], 0xfff0);
  return bytes;
}

/** Memory that worlds may use: its address has two bits, and with one of them changed it is memory still. */
export const X86_MEMORY: MemoryRange = { base: 0x140_0000n, bytes: 0x2c0_0000n };
/** All memory: between lie that of video and the firmware. */
export const X86_RAM: readonly MemoryRange[] = [
  { base: 0n, bytes: 0xa_0000n },
  { base: 0x10_0000n, bytes: X86_MEMORY.base + X86_MEMORY.bytes - 0x10_0000n },
];
/** Memory that is no world's: the queues of whoever drives the machine, in two parts of 64 KiB. */
export const X86_OWN: MemoryRange = { base: 0x1_0000n, bytes: 0x2_0000n };
/** Where registers of devices may be placed. */
export const X86_WINDOW = 0xe000_0000n;
/** What is in queues; video memory and option ROMs; registers of all kinds and the firmware, up to 4 GiB. */
export const X86_FOREIGN: readonly MemoryRange[] = [
  X86_OWN,
  { base: 0xa_0000n, bytes: 0x6_0000n },
  { base: X86_WINDOW, bytes: 0x1_0000_0000n - X86_WINDOW },
];
