import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { replay } from "../pipeline/library/replay-stream.ts";

/**
 * Small traces after public bug reports and commits of drivers and emulators. Where `observed` is what the faulty one
 * did, the verdict is a mismatch.
 */
const REPORTS: readonly [name: string, outcomes: string[], findings: string[]][] = [
  ["vtd-context-aw", ["fault 0x3 LCT.4.1 match", "ok 0x8000 match"], ["unsupported-encoding AW"]],
  ["smmu-cd-bits-A0-term0", ["ok 0x40000 match"], []],
  ["smmu-cd-bits-S1-stall1", ["fault 0xa C_BAD_CD match"], ["unsupported-encoding S"]],
  ["smmu-cd-bits-fixed", ["ok 0x40000 match"], []],
  ["smmu-cd-bits", ["fault 0xa C_BAD_CD mismatch"], ["unsupported-encoding A"]],
  [
    "smmu-cd-bits-wrong-struct",
    ["fault 0xa C_BAD_CD mismatch"],
    ["unsupported-encoding A", "unsupported-encoding AA64"],
  ],
  ["smmu-s2-permission-rw", ["ok 0x40000 match"], ["ignored-entry-bits SHCFG"]],
  ["smmu-s2-permission", ["fault 0x13 F_PERMISSION match"], ["ignored-entry-bits SHCFG"]],
  ["smmu-s2-permission-write-only-read", ["fault 0x13 F_PERMISSION match"], ["ignored-entry-bits SHCFG"]],
  ["amd-superpage-fixed", ["ok 0x40012345 match"], []],
  ["amd-superpage-level1-8k", ["ok 0x40012345"], []],
  ["amd-superpage-level7-4M", ["ok 0x40012345 match"], []],
  ["amd-superpage", ["fault 0x2 IO_PAGE_FAULT mismatch"], []],
  ["amd-intctl-mode3", ["msi not-modelled", "fault 0x2 IO_PAGE_FAULT match"], []],
  ["amd-intctl-read", ["fault 0x8 INVALID_DEVICE_REQUEST match", "fault 0x2 IO_PAGE_FAULT match"], []],
  ["amd-intctl", ["msi not-modelled", "fault 0x2 IO_PAGE_FAULT match"], []],
  [
    "riscv-gstage-reserved-bit60",
    ["fault 0x15 Read guest-page fault mismatch", "fault 0x17 Write/AMO guest-page fault mismatch"],
    [],
  ],
  ["riscv-gstage-reserved-clean", ["ok 0x40000 match", "ok 0x40000 match"], []],
  [
    "riscv-gstage-reserved-napot-N",
    ["fault 0x15 Read guest-page fault mismatch", "fault 0x17 Write/AMO guest-page fault mismatch"],
    [],
  ],
  [
    "riscv-gstage-reserved-nonleaf-reserved",
    ["fault 0x15 Read guest-page fault mismatch", "fault 0x17 Write/AMO guest-page fault mismatch"],
    [],
  ],
  [
    "riscv-gstage-reserved-pbmt-without-svpbmt",
    ["fault 0x15 Read guest-page fault mismatch", "fault 0x17 Write/AMO guest-page fault mismatch"],
    [],
  ],
  [
    "riscv-gstage-reserved",
    ["fault 0x15 Read guest-page fault mismatch", "fault 0x17 Write/AMO guest-page fault mismatch"],
    [],
  ],
  ["riscv-cause-v0-gade", ["fault 0x102 DDT entry not valid mismatch"], []],
  ["riscv-cause-pdte-v0", ["fault 0x10a PDT entry not valid mismatch"], []],
  ["riscv-cause-pdte-reserved", ["fault 0x10b PDT entry misconfigured mismatch"], ["reserved-entry-bits"]],
  [
    "riscv-cause-pdtp-mode10",
    ["fault 0x103 DDT entry misconfigured mismatch"],
    ["unsupported-encoding fsc_MODE"],
  ],
  ["riscv-cause-pc-v0", ["fault 0x10a PDT entry not valid mismatch"], []],
  ["riscv-cause-A0", ["fault 0xd Read page fault mismatch"], []],
  ["riscv-cause-mode-bare", ["ok 0x10000 mismatch", "ok 0x10000 mismatch"], []],
  [
    "riscv-cause",
    ["fault 0x103 DDT entry misconfigured mismatch", "fault 0x103 DDT entry misconfigured mismatch"],
    ["unsupported-encoding fsc_MODE"],
  ],
  [
    "riscv-cause-two-level",
    ["fault 0x103 DDT entry misconfigured mismatch"],
    ["unsupported-encoding fsc_MODE"],
  ],
  ["amd-giov-sign", ["ok 0x300000", "ok 0x200000", "fault 0x2 IO_PAGE_FAULT", "fault 0x2 IO_PAGE_FAULT"], []],
  ["amd-pde-reserved", ["fault 0x2 IO_PAGE_FAULT"], []],
  ["vtd-pasid-memory-type", ["ok 0x200000"], []],
];

async function replayed(name: string): Promise<[outcomes: string[], findings: string[]]> {
  const outcomes: string[] = [];
  const findings: string[] = [];
  const bytes = readFileSync(new URL(`fixtures/reports/${name}.ndjson`, import.meta.url));
  for await (const record of replay(bytes)) {
    if (record.type === "outcome") {
      const { result, pa, code, name: fault, verdict } = record;
      outcomes.push([result, pa ?? code, fault, verdict].filter((part) => part !== undefined).join(" "));
    } else if (record.type === "finding")
      findings.push([record.rule, record.field].filter((part) => part).join(" "));
  }
  return [outcomes, findings];
}

describe("reported faults", () => {
  it.each(REPORTS)("%s", async (name, outcomes, findings) => {
    expect(await replayed(name)).toEqual([outcomes, findings]);
  });
});
