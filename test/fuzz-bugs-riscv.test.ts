/** What mistakes of a RISC-V IOMMU read in an entry: its words as the Privileged specification and RISC-V IOMMU 1.0 lay them out. */
import { expect, it } from "vitest";
import type { Layout } from "../walkers/layout.ts";
import { SvEntry } from "../walkers/page-tables/riscv-sv.ts";
import { RISCV_BUGS } from "../walkers/riscv/fuzz/bugs.ts";
import { BaseDeviceContext, DeviceContextLayout } from "../walkers/riscv/layouts.ts";

/** @param words 64 bits each @returns what they are to a device with the mistake */
function misread(name: string, layout: Layout, level: number, ...words: bigint[]): bigint[] {
  const view = new DataView(new ArrayBuffer(8 * words.length));
  for (const [i, word] of words.entries()) view.setBigUint64(8 * i, word, true);
  for (const misreading of RISCV_BUGS.find((bug) => bug.name === name)!.misreads!)
    if (misreading.layout === layout) misreading.change(view, true, level);
  return words.map((_, i) => view.getBigUint64(8 * i, true));
}

it.each([1, 2, 3, 4, 5])("pointer-flags: A, D and U of an entry without R, W and X, at level %i", (level) => {
  const [V, R, U, A, D] = [1n, 2n, 0x10n, 0x40n, 0x80n];
  const table = 0x2050_0400n | V;
  expect(misread("pointer-flags", SvEntry, level, table | U | A | D)).toEqual([table]);
  expect(misread("pointer-flags", SvEntry, level, table | R | U | A | D)).toEqual([table | R | U | A | D]);
});

it.each([
  ["user-pages", 0x10n],
  ["accessed", 0xc0n],
] as const)("%s: of pages of every size, and of no table", (name, bits) => {
  for (const level of [1, 2, 3, 4, 5])
    for (const rights of [2n, 8n, 0xen])
      expect(misread(name, SvEntry, level, 0x2050_0001n | rights)).toEqual([0x2050_0001n | rights | bits]);
  expect(misread(name, SvEntry, 3, 0x2050_0001n)).toEqual([0x2050_0001n]);
});

it("context-controls: GADE and SADE (tc 7, 8), RCID and MCID (ta 51:40, 63:52), and nothing beside them", () => {
  const context = [0x1n, 0x8000_0000_0008_1404n, 0x5_000n, 0x8000_0000_0008_1408n] as const;
  const [tc, iohgatp, ta, fsc] = context;
  expect(
    misread("context-controls", BaseDeviceContext, 0, tc | 0x180n, iohgatp, ta | (0xfff_fffn << 40n), fsc),
  ).toEqual(context);
});

it("memory-type-address: PBMT's low bit (61) is far above the frame, where pages keep their sizes; the high one is lost", () => {
  const page = 0x2050_00dfn;
  const highest = 1n << 53n;
  expect(misread("memory-type-address", SvEntry, 1, page | (1n << 61n))).toEqual([page | highest]);
  expect(misread("memory-type-address", SvEntry, 1, page | (3n << 61n))).toEqual([page | highest]);
  expect(misread("memory-type-address", SvEntry, 1, page | (2n << 61n))).toEqual([page | (2n << 61n)]);
});

it("napot-pointer: N (63) of an entry without R, W and X", () => {
  const N = 1n << 63n;
  expect(misread("napot-pointer", SvEntry, 2, N | 0x2050_0401n)).toEqual([0x2050_0401n]);
  expect(misread("napot-pointer", SvEntry, 1, N | 0x2050_2003n)).toEqual([N | 0x2050_2003n]);
});

it("message-tables: no MSI page table is there, but a reserved mode of one still is", () => {
  const context = (mode: bigint, mask: bigint, pattern: bigint) =>
    [1n, 0n, 0n, 0n, (mode << 60n) | 0x81400n, mask, pattern, 0n] as const;
  const off = [...context(0n, 0n, 0n)];
  expect(misread("message-tables", DeviceContextLayout, 0, ...context(1n, 3n, 0x2_8000n))).toEqual(off);
  expect(misread("message-tables", DeviceContextLayout, 0, ...context(2n, 0n, 0n))).toEqual([
    ...context(2n, 0n, 0n),
  ]);
});
