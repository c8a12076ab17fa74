import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PropertyValue } from "../walkers/registers.ts";
import { WalkRequest } from "../walkers/request.ts";
import { FAULT } from "../walkers/result.ts";
import { SEVERE } from "../walkers/tables/table-rules.ts";
import { lintTables } from "./support/lint-tables.ts";
import { CD0, S2, STAGE1, STAGE2 } from "./support/table-cases/smmuv3.ts";
import { FIRST } from "./support/table-cases/vtd.ts";
import { machineOf, type Setup } from "./support/table-lint.ts";

/** An entry whose bits are flipped at random, under capabilities that are there or not. */
interface Subject {
  readonly name: string;
  readonly structure: string;
  readonly at: bigint;
  readonly words: readonly bigint[];
  /** Bits that stay: those that make the entry valid, or that decide what it is. */
  readonly keep: readonly number[];
  readonly device: number;
  readonly pasid: number;
  readonly setup: (props: Readonly<Record<string, PropertyValue>>) => Setup;
  /** Capabilities by the names of properties. */
  readonly capabilities: readonly string[];
  /** Faults that say that the IOMMU refuses the entry. */
  readonly refusals: readonly string[];
}

const pad = (words: readonly bigint[], count: number) => [...words, ...Array(count - words.length).fill(0n)];
/** All of memory that pointers with few bits flipped may lead to would be too much: holes are no severe findings. */
const SPACE = {
  "0x1000": [0x2001n],
  "0x2000": [],
  "0x3000": [],
  "0x10000": [],
  "0x20000": [],
  "0x21000": [],
};

const VTD_CAPABILITIES = [
  "sc",
  "mts",
  "ers",
  "srs",
  "eafs",
  "hpts",
  "ssads",
  "fs5lp",
  "nest",
  "ssts",
  "fsts",
  "pt",
];

const SUBJECTS: readonly Subject[] = [
  {
    name: "VT-d PASID table entry",
    structure: "VT-d scalable-mode PASID table entry",
    at: 0x2000n,
    words: pad(FIRST, 8),
    keep: [0],
    device: 0x18,
    pasid: 0,
    setup: (props) => ({
      model: "intel",
      props: { output_bits: 48, ...props },
      bind: { model: "intel", base: 0x1000n, pasidBits: 8 },
      memory: SPACE,
    }),
    capabilities: VTD_CAPABILITIES,
    refusals: ["SPT.3", "SPT.4.1", "SPT.4.2", "SPT.4.3", "SPT.4.4"],
  },
  {
    name: "VT-d scalable-mode context entry",
    structure: "VT-d scalable-mode context entry",
    at: 0x9300n,
    words: [0x1009n, 0n, 0n, 0n],
    keep: [0, 3],
    device: 0x18,
    pasid: -1,
    setup: (props) => ({
      model: "intel",
      regs: { rtaddr: 0x8400n },
      props: { output_bits: 48, ...props },
      memory: { ...SPACE, "0x8000": [0x9001n], "0x9000": [] },
    }),
    capabilities: ["dt", "prs", "hpts", "ptrs", "rps", "rprivs"],
    refusals: ["SCT.3", "SCT.4.1", "SCT.4.2", "SCT.4.3"],
  },
  {
    name: "VT-d context entry",
    structure: "VT-d context entry",
    at: 0x9180n,
    words: [0x3001n, 0x702n],
    keep: [0],
    device: 0x18,
    pasid: -1,
    setup: (props) => ({
      model: "intel",
      regs: { rtaddr: 0x8000n },
      props: { output_bits: 48, ...props },
      memory: { ...SPACE, "0x8000": [0x9001n], "0x9000": [] },
    }),
    capabilities: ["dt", "pt"],
    refusals: ["LCT.3", "LCT.4.1", "LCT.4.2"],
  },
  {
    name: "SMMUv3 STE with stage 1",
    structure: "SMMUv3 stream table entry",
    at: 0x80c0n,
    words: pad([0x10000n | STAGE1], 8),
    keep: [0],
    device: 3,
    pasid: -1,
    setup: (props) => ({
      model: "arm-smmuv3",
      regs: { strtab_base: 0x8000n, strtab_base_cfg: 3n },
      props: { output_bits: 44, ...props },
      memory: { ...SPACE, "0x8000": [] },
    }),
    capabilities: [
      "s1p",
      "s2p",
      "hyp",
      "cd2l",
      "vmid16",
      "ats",
      "httu",
      "gran16k",
      "stt",
      "ds",
      "stall_model",
    ],
    refusals: ["C_BAD_STE"],
  },
  {
    name: "SMMUv3 STE with stage 2",
    structure: "SMMUv3 stream table entry",
    at: 0x80c0n,
    words: pad([STAGE2, 0n, S2, 0x20000n], 8),
    keep: [0],
    device: 3,
    pasid: -1,
    setup: (props) => ({
      model: "arm-smmuv3",
      regs: { strtab_base: 0x8000n, strtab_base_cfg: 3n },
      props: { output_bits: 44, ...props },
      memory: { ...SPACE, "0x8000": [] },
    }),
    capabilities: [
      "s1p",
      "s2p",
      "hyp",
      "vmid16",
      "ats",
      "httu",
      "gran16k",
      "gran64k",
      "stt",
      "ds",
      "stall_model",
    ],
    refusals: ["C_BAD_STE"],
  },
  {
    name: "SMMUv3 CD",
    structure: "SMMUv3 context descriptor",
    at: 0x10000n,
    words: pad([(CD0 & ~(1n << 30n)) | (16n << 16n) | (2n << 22n), 0x20000n, 0x20000n], 8),
    keep: [31],
    device: 0x18,
    pasid: -1,
    setup: (props) => ({
      model: "arm-smmuv3",
      props: { output_bits: 44, ...props },
      bind: { model: "arm-1lvl", base: 0x10000n, pasidBits: 0 },
      memory: SPACE,
    }),
    capabilities: ["asid16", "httu", "gran4k", "gran16k", "stt", "ds", "stall_model", "term_model", "vax"],
    refusals: ["C_BAD_CD"],
  },
  {
    name: "AMD device table entry",
    structure: "Device table entry",
    at: 0x8300n,
    words: [3n | (4n << 9n) | 0x20000n | (3n << 61n), 0n, 0n, 0n],
    keep: [0],
    device: 0x18,
    pasid: -1,
    setup: (props) => ({
      model: "amd",
      regs: { dev_tab_base: 0x8000n },
      props,
      memory: { ...SPACE, "0x8000": [] },
    }),
    capabilities: ["ephsup", "giosup", "gtsup", "hats", "gats", "glxsup"],
    refusals: ["ILLEGAL_DEV_TABLE_ENTRY"],
  },
  {
    name: "RISC-V device context",
    structure: "Base-format device context",
    at: 0x8060n,
    words: [0x21n, 0n, 0n, (1n << 60n) | 0x10n],
    keep: [0],
    device: 3,
    pasid: -1,
    setup: (props) => ({
      model: "riscv",
      regs: { ddtp: 0x2002n },
      props: { msi_flat: 0, ...props },
      memory: { ...SPACE, "0x8000": [] },
    }),
    capabilities: ["ats", "t2gpa", "amo_hwad", "end", "pd8", "pd17", "sv39", "sv57", "sv39x4", "qosid"],
    refusals: ["DDT entry misconfigured"],
  },
  {
    name: "RISC-V process context",
    structure: "Process context",
    at: 0x10010n,
    words: [1n, (8n << 60n) | 0x20n],
    keep: [0],
    device: 0x18,
    pasid: 1,
    setup: (props) => ({
      model: "riscv",
      props,
      bind: { model: "riscv", base: 0x10000n, riscv: { mode: "PD8" } },
      memory: SPACE,
    }),
    capabilities: ["sv39", "sv48", "sv57"],
    refusals: ["PDT entry misconfigured"],
  },
];

describe("an entry is complained about if and only if the IOMMU refuses it", () => {
  test.each(SUBJECTS)("$name", (subject) => {
    const { at, structure, keep, device, pasid, capabilities, refusals } = subject;
    const size = subject.words.length * 64;
    let refused = 0;
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.array(fc.nat(size - 1), { maxLength: 3 }),
        fc.subarray([...capabilities]),
        (flips, absent) => {
          const words = [...subject.words];
          for (const bit of flips) if (!keep.includes(bit)) words[bit >> 6]! ^= 1n << BigInt(bit & 63);
          const props = Object.fromEntries(absent.map((name) => [name, 0]));
          const setup = subject.setup(props);
          const { unit, memory } = machineOf(setup);
          words.forEach((word, i) => void memory.write64(at + 8n * BigInt(i), word));

          const request = new WalkRequest();
          request.device = device;
          request.pasid = pasid;
          request.binding = unit.binding(device);
          const out = unit.engine.walk(request);
          const refuses = out.status === FAULT && refusals.includes(out.fault!.name);
          const complaints = lintTables(unit, memory).filter(
            (f) => SEVERE.has(f.rule) && f.structure === structure && f.entry_addr === `0x${at.toString(16)}`,
          );
          // A pointer that is too wide for the bus fails when it is used, not when the entry is checked.
          const decisive = complaints.filter((f) => refuses || f.rule.id !== "address-too-wide");
          if (refuses) refused++;
          else accepted++;
          if (refuses !== decisive.length > 0)
            expect({ refuses, says: decisive.map((f) => f.message) }).toEqual({
              refuses,
              says: refuses ? expect.arrayContaining([expect.anything()]) : [],
            });
        },
      ),
      // So many that the rarer of the two happens often: of a device table entry, one time in thirteen.
      { numRuns: 1000 },
    );
    // Both happen: the property is about something.
    expect(Math.min(refused, accepted)).toBeGreaterThan(20);
  });
});
