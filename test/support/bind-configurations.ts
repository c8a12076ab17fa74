/** Configurations that a host of their vendor takes, for tests to change one thing of; and the memory of their tables. */
import { amdvi, intel, packed, riscv, smmu, type TestCase, type TestHost } from "./bind-question.ts";
import { TableMemory } from "./table-memory.ts";

export const BASE = 0x4000_0000n;

export function vtd(fields: object = {}, host: TestHost = intel()): TestCase {
  return { request: { version: 1, model: "intel", base_ptr: "0x40000000", pasid_bits: 16, ...fields }, host };
}

export function arm(fields: object = {}, host: TestHost = smmu()): TestCase {
  const request = {
    model: "PASID_TABLE_FORMAT_ARM_1LVL",
    base_ptr: "0x40000000",
    pasid_bits: 4,
    arm: { s1fmt: 0, s1dss: 0 },
  };
  return { request: { ...request, ...fields }, host };
}

export function amd(fields: object = {}, host: TestHost = amdvi()): TestCase {
  return {
    request: { model: "amd", base_ptr: "0x40000000", pasid_bits: 9, amd: { glx: 0 }, ...fields },
    host,
  };
}

export function rv(fields: object = {}, host: TestHost = riscv()): TestCase {
  const request = { model: "riscv", base_ptr: "0x40000000", pasid_bits: 8, riscv: { mode: "PD8" } };
  return { request: { ...request, ...fields }, host };
}

/** Second-stage schemes of 32-bit harts: Sv32x4 in capabilities, GXL in fctl. */
export function gxl(): TestHost {
  const host = riscv();
  return {
    ...host,
    regs: { ...host.regs, capabilities: host.regs!.capabilities! | (1n << 16n), fctl: 4n },
  };
}

/** struct iommu_hwpt_vtd_s1: flags, pgtbl_addr, addr_width, __reserved. */
export function vtdS1(flags = 0n, address = BASE, width = 48, reserved = 0, host = intel()): TestCase {
  return { request: packed([flags, 8], [address, 8], [width, 4], [reserved, 4]), host };
}

/** struct iommu_hwpt_arm_smmuv3: V, Config at 3:1, S1Fmt at 5:4, S1ContextPtr at 55:6, S1CDMax at 63:59. */
export function ste(word0: bigint, word1 = 0n, host = smmu()): TestCase {
  return { request: packed([word0, 8], [word1, 8]), host };
}
export const STAGE1 = 1n | (5n << 1n) | BASE;

/** Memory of `bytes` from the table on, with some 64-bit words in it. */
export function memory(bytes: bigint, words: readonly (readonly [bigint, bigint])[] = []): TableMemory {
  const out = new TableMemory();
  out.ram(BASE, bytes);
  for (const [address, value] of words) out.write64(address, value);
  return out;
}

/** A valid CD (V at 31) with TTB1 disabled (EPD1 at 30), AA64 at 41, TG0 at 7:6, TTB0 in word 1. */
export function cd(
  pasid: bigint,
  word0: bigint,
  ttb0 = 0x8000_0000n,
): readonly (readonly [bigint, bigint])[] {
  return [
    [BASE + 64n * pasid, word0 | (1n << 31n) | (1n << 30n)],
    [BASE + 64n * pasid + 8n, ttb0],
  ];
}
export const AA64 = 1n << 41n;

export const bound = (base: bigint, bytes: number, model = "intel", space = "") => [
  { dev: "00:04.0", base, bytes, model, space },
];
/** The directory of 16 PASID bits. */
export const DIRECTORY_BYTES = 8 * 2 ** 10;
