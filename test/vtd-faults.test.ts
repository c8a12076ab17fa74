import { describe, expect, it } from "vitest";
import { VTD_FAULTS, VTD_WALK_FAULTS } from "../walkers/vtd/index.ts";
import {
  ABORT,
  AW4,
  CONTEXT,
  chain,
  DIRECTORY,
  ECAP_ALL,
  EXTENDED,
  ecapWithout,
  FIRST,
  FS,
  IOVA,
  LEAF,
  legacyMachine,
  NEST,
  OPEN,
  PASIDS,
  PASS,
  pasidEntry,
  ROOT,
  SCALABLE,
  SECOND,
  type Seen,
  SS,
  scalableMachine,
  slot,
  VtdMachine,
} from "./support/vtd-machine.ts";

const HOLE = 0x7_0000_0000n;
const SS_LEAF = 0x66_6000n | 3n;
const CAP_ALL = 0x1100_000c_003f_0e06n;

/** The second stage maps everything below 1 GiB to itself. */
function identitySecondStage(m: VtdMachine, rights = 3n): VtdMachine {
  return m.put(SS, (SS + 0x1000n) | 3n).put(SS + 0x1000n, 0x80n | rights);
}

const legacy = (fpd: bigint, second: bigint, registers = {}, props = {}) =>
  legacyMachine(registers, props).put(CONTEXT + 0x180n, SS | 1n | fpd, second);
const contextLow = (fpd: bigint, low: bigint, registers = {}) =>
  legacyMachine(registers).put(CONTEXT + 0x180n, low | fpd, 0x0702n);
const scalable = (fpd: bigint, entry: bigint[], registers = {}, props = {}) =>
  scalableMachine(entry, registers, props).put(CONTEXT + 0x300n, DIRECTORY | 9n | fpd, 0n);
const scalableContext = (fpd: bigint, low: bigint, high = 0n, registers = {}) =>
  scalable(fpd, pasidEntry(PASS), registers).put(CONTEXT + 0x300n, low | fpd, high);
const first = (fpd: bigint, third = 0n, registers = {}, props = {}) =>
  scalable(fpd, pasidEntry(FIRST, third), registers, props);
const second = (fpd: bigint, registers = {}, props = {}) =>
  scalable(fpd, pasidEntry(SECOND), registers, props);
const nested = (fpd: bigint, registers = {}, props = {}) => scalable(fpd, pasidEntry(NEST), registers, props);
/** Extended mode: PASIDs enabled, first level, with bits for the second and third context words. */
const extended = (fpd: bigint, high: bigint, pasid = FS | 1n) =>
  new VtdMachine({ rtaddr: ROOT | EXTENDED })
    .put(ROOT, CONTEXT | 1n, 0n)
    .put(CONTEXT + 0x300n, SS | 0x801n | fpd, 0x0702n | high, PASIDS, 0n)
    .put(PASIDS + 8n, pasid);

/**
 * Condition, fault reason, generic reason, qualified (Table 30 of section 7.1.3, Table 15 for 29h), and a unit
 * that meets it. `f` is the FPD bit of the context entry.
 */
type Row = readonly [string, number, string, boolean, (f: bigint) => Seen];
const ROWS: readonly Row[] = [
  ["LRT.1", 0x8, "DEVICE_CONTEXT_FETCH", false, () => new VtdMachine({ rtaddr: HOLE }).ask(IOVA)],
  ["LRT.2", 0x1, "BAD_DEVICE_CONTEXT", false, () => legacyMachine().put(ROOT, CONTEXT).ask(IOVA)],
  [
    "LRT.3",
    0xa,
    "BAD_DEVICE_CONTEXT",
    false,
    () =>
      legacyMachine()
        .put(ROOT + 8n, 1n)
        .ask(IOVA),
  ],
  [
    "LCT.1",
    0x9,
    "DEVICE_CONTEXT_FETCH",
    false,
    () =>
      legacyMachine()
        .put(ROOT, HOLE | 1n)
        .ask(IOVA),
  ],
  ["LCT.2", 0x2, "BAD_DEVICE_CONTEXT", true, (f) => contextLow(f, SS).ask(IOVA)],
  ["LCT.3", 0xb, "BAD_DEVICE_CONTEXT", true, (f) => contextLow(f, SS | 0x11n).ask(IOVA)],
  ["LCT.4.1", 0x3, "BAD_DEVICE_CONTEXT", true, (f) => legacy(f, 0x0704n).ask(IOVA)],
  ["LCT.4.2", 0x3, "BAD_DEVICE_CONTEXT", true, (f) => contextLow(f, SS | 0xdn).ask(IOVA)],
  ["LCT.4.3", 0x3, "PGD_FETCH", true, (f) => contextLow(f, HOLE | 1n).ask(IOVA)],
  [
    "LSS.1",
    0x7,
    "WALK_EABT",
    true,
    (f) =>
      legacy(f, 0x0702n)
        .put(SS + slot(4, IOVA), HOLE | 3n)
        .ask(IOVA),
  ],
  [
    "LSS.2",
    0xc,
    "BAD_PTE",
    true,
    (f) =>
      legacy(f, 0x0702n)
        .put(SS + slot(4, IOVA), SS | 0x803n)
        .ask(IOVA),
  ],
  ["LGN.1.1", 0x4, "OOR_ADDRESS", true, (f) => legacy(f, 0x0701n).ask(1n << 39n)],
  [
    "LGN.1.3",
    0x4,
    "OOR_ADDRESS",
    true,
    (f) =>
      legacyMachine({}, { output_bits: 40 })
        .put(CONTEXT + 0x180n, 9n | f, 0x0702n)
        .ask(1n << 40n),
  ],
  [
    "LGN.2",
    0x5,
    "PERMISSION",
    true,
    (f) => {
      const m = legacy(f, 0x0702n);
      chain(m, SS, 4, IOVA, 3n, 0x66_6001n);
      return m.ask(IOVA, { access: "w" });
    },
  ],
  [
    "LGN.3",
    0x6,
    "PERMISSION",
    true,
    (f) => {
      const m = legacy(f, 0x0702n);
      chain(m, SS, 4, IOVA, 3n, 0x66_6002n);
      return m.ask(IOVA);
    },
  ],
  [
    "LGN.4",
    0xe,
    "OOR_ADDRESS",
    true,
    (f) => {
      const m = legacy(f, 0x0702n);
      chain(m, SS, 4, IOVA, 3n, 0xfee0_0003n);
      return m.ask(IOVA);
    },
  ],
  ["29h", 0x29, "OOR_ADDRESS", false, () => legacyMachine().ask(0xfee0_1000n)],
  [
    "RTA.1.1",
    0x30,
    "BAD_DEVICE_CONTEXT",
    false,
    () => new VtdMachine({ rtaddr: ROOT | ABORT, ecap: ecapWithout(52) }).ask(IOVA),
  ],
  [
    "RTA.1.2",
    0x30,
    "BAD_DEVICE_CONTEXT",
    false,
    () => new VtdMachine({ rtaddr: ROOT | EXTENDED, ecap: ecapWithout(24) }).ask(IOVA),
  ],
  [
    "RTA.1.3",
    0x30,
    "BAD_DEVICE_CONTEXT",
    false,
    () => new VtdMachine({ rtaddr: ROOT | SCALABLE, ecap: ecapWithout(43) }).ask(IOVA),
  ],
  ["RTA.1.4", 0x30, "BAD_DEVICE_CONTEXT", false, () => legacyMachine({ rtaddr: ROOT | 0x80n }).ask(IOVA)],
  ["RTA.2", 0x31, "PASID_INVALID", false, () => legacyMachine().ask(IOVA, { pasid: 1 })],
  ["RTA.4", 0x33, "BAD_DEVICE_CONTEXT", false, () => new VtdMachine({ rtaddr: ROOT | ABORT }).ask(IOVA)],
  [
    "RTA.5",
    0x34,
    "PERMISSION",
    false,
    () => first(0n, 0n, { ver: 0x80n }).ask(IOVA, { pasid: 1, access: "x" }),
  ],
  ["SRT.1", 0x38, "DEVICE_CONTEXT_FETCH", false, () => new VtdMachine({ rtaddr: HOLE | SCALABLE }).ask(IOVA)],
  [
    "SRT.2",
    0x39,
    "BAD_DEVICE_CONTEXT",
    false,
    () =>
      first(0n)
        .put(ROOT, CONTEXT, CONTEXT | 1n)
        .ask(IOVA),
  ],
  [
    "SRT.3",
    0x3a,
    "BAD_DEVICE_CONTEXT",
    false,
    () =>
      first(0n)
        .put(ROOT + 8n, CONTEXT | 3n)
        .ask(IOVA),
  ],
  [
    "SCT.1",
    0x40,
    "DEVICE_CONTEXT_FETCH",
    false,
    () =>
      first(0n)
        .put(ROOT, HOLE | 1n)
        .ask(IOVA),
  ],
  ["SCT.2", 0x41, "BAD_DEVICE_CONTEXT", true, (f) => scalableContext(f, DIRECTORY).ask(IOVA)],
  ["SCT.3", 0x42, "BAD_DEVICE_CONTEXT", true, (f) => scalableContext(f, DIRECTORY | 0x81n).ask(IOVA)],
  ["SCT.4.1", 0x43, "BAD_DEVICE_CONTEXT", true, (f) => scalableContext(f, DIRECTORY | 0x11n).ask(IOVA)],
  ["SCT.4.2", 0x43, "BAD_DEVICE_CONTEXT", true, (f) => scalableContext(f, DIRECTORY | 9n, 0x2000n).ask(IOVA)],
  ["SCT.4.3", 0x43, "BAD_DEVICE_CONTEXT", true, (f) => scalableContext(f, DIRECTORY | 0x41n).ask(IOVA)],
  ["SCT.6", 0x45, "PASID_INVALID", true, (f) => scalableContext(f, DIRECTORY | 1n).ask(IOVA, { pasid: 1 })],
  ["SCT.7", 0x46, "PASID_INVALID", true, (f) => first(f).ask(IOVA, { pasid: 0x2000 })],
  ["SCT.9", 0x48, "PASID_INVALID", true, (f) => first(f).ask(IOVA, { pasid: 0 })],
  ["SPD.1", 0x50, "PASID_FETCH", false, (f) => scalableContext(f, HOLE | 9n).ask(IOVA)],
  ["SPD.2", 0x51, "PASID_INVALID", true, (f) => first(f).put(DIRECTORY, PASIDS).ask(IOVA)],
  [
    "SPD.3",
    0x52,
    "BAD_PASID_ENTRY",
    true,
    (f) =>
      first(f)
        .put(DIRECTORY, PASIDS | 5n)
        .ask(IOVA),
  ],
  [
    "SPT.1",
    0x58,
    "PASID_FETCH",
    false,
    (f) =>
      first(f)
        .put(DIRECTORY, HOLE | 1n)
        .ask(IOVA),
  ],
  ["SPT.2", 0x59, "PASID_INVALID", true, (f) => first(f).put(PASIDS, 0x40n).ask(IOVA)],
  [
    "SPT.3",
    0x5a,
    "BAD_PASID_ENTRY",
    true,
    (f) =>
      first(f)
        .put(PASIDS + 56n, 1n)
        .ask(IOVA),
  ],
  ["SPT.4.1", 0x5b, "BAD_PASID_ENTRY", true, (f) => scalable(f, pasidEntry(SECOND, 0n, 0x10n)).ask(IOVA)],
  ["SPT.4.2", 0x5b, "BAD_PASID_ENTRY", true, (f) => scalable(f, pasidEntry(0x140n)).ask(IOVA)],
  ["SPT.4.3", 0x5b, "BAD_PASID_ENTRY", true, (f) => first(f, 8n).ask(IOVA)],
  ["SPT.4.4", 0x5b, "BAD_PASID_ENTRY", true, (f) => scalable(f, pasidEntry(NEST, 1n << 39n, 4n)).ask(IOVA)],
  ["SPT.5", 0x5c, "PERMISSION", true, (f) => first(f).ask(IOVA, { pasid: 1, access: "x" })],
  ["SPT.6", 0x5d, "PERMISSION", true, (f) => first(f).ask(IOVA, { pasid: 1, priv: true })],
  [
    "SFS.1",
    0x70,
    "WALK_EABT",
    true,
    (f) =>
      first(f)
        .put(FS + slot(4, IOVA), HOLE | OPEN)
        .ask(IOVA),
  ],
  [
    "SFS.2",
    0x71,
    "PTE_FETCH",
    true,
    (f) =>
      first(f)
        .put(FS + slot(4, IOVA), 0x26n)
        .ask(IOVA),
  ],
  [
    "SFS.3",
    0x72,
    "BAD_PTE",
    true,
    (f) =>
      first(f)
        .put(FS + slot(4, IOVA), FS | 0xa7n)
        .ask(IOVA),
  ],
  ["SFS.4", 0x73, "PGD_FETCH", true, (f) => first(f, HOLE).ask(IOVA)],
  [
    "SFS.5",
    0x74,
    "OOR_ADDRESS",
    true,
    (f) =>
      identitySecondStage(nested(f))
        .put(FS + slot(4, IOVA), (1n << 48n) | OPEN)
        .ask(IOVA),
  ],
  ["SFS.6", 0x75, "PGD_FETCH", true, (f) => identitySecondStage(nested(f), 2n).ask(IOVA)],
  [
    "SFS.7",
    0x76,
    "WALK_EABT",
    true,
    (f) => {
      const m = identitySecondStage(nested(f)).put(FS + slot(4, IOVA), 0x4000_0000n | OPEN);
      return m.put(SS + 0x1008n, 0x4000_0082n).ask(IOVA);
    },
  ],
  [
    "SFS.8",
    0x77,
    "PERMISSION",
    true,
    (f) =>
      identitySecondStage(nested(f), 1n)
        .put(FS + slot(4, IOVA), (FS + 0x1000n) | 7n)
        .ask(IOVA),
  ],
  [
    "SFS.9",
    0x90,
    "ACCESS",
    true,
    (f) =>
      first(f, 0n, {}, { httu: false })
        .put(FS + slot(4, IOVA), (FS + 0x1000n) | 7n)
        .ask(IOVA),
  ],
  [
    "SSS.1",
    0x78,
    "WALK_EABT",
    true,
    (f) =>
      second(f)
        .put(SS + slot(4, IOVA), HOLE | 3n)
        .ask(IOVA),
  ],
  [
    "SSS.2",
    0x79,
    "PTE_FETCH",
    true,
    (f) =>
      second(f)
        .put(SS + slot(4, IOVA), HOLE)
        .ask(IOVA),
  ],
  [
    "SSS.3",
    0x7a,
    "BAD_PTE",
    true,
    (f) =>
      second(f)
        .put(SS + slot(4, IOVA), SS | 0x83n)
        .ask(IOVA),
  ],
  ["SSS.4", 0x7b, "PGD_FETCH", true, (f) => scalable(f, [HOLE | AW4 | SECOND | 1n, 9n]).ask(IOVA)],
  [
    "SSS.5",
    0x7c,
    "ACCESS",
    true,
    (f) =>
      scalable(f, pasidEntry(SECOND, 0n, AW4 | 0x200n), {}, { httu: false })
        .put(SS + slot(4, IOVA), (SS + 0x1000n) | 3n)
        .ask(IOVA),
  ],
  ["SGN.1", 0x80, "OOR_ADDRESS", true, (f) => first(f).ask(1n << 47n)],
  [
    "SGN.2",
    0x81,
    "PERMISSION",
    true,
    (f) => {
      const m = first(f);
      chain(m, FS, 4, IOVA, OPEN, LEAF & ~4n);
      return m.ask(IOVA);
    },
  ],
  [
    "SGN.3",
    0x82,
    "PERMISSION",
    true,
    (f) => {
      const m = first(f, 0x22n);
      chain(m, FS, 4, IOVA, OPEN, LEAF | (1n << 63n));
      return m.ask(IOVA, { pasid: 1, access: "x" });
    },
  ],
  [
    "SGN.4.2",
    0x83,
    "OOR_ADDRESS",
    true,
    (f) => scalable(f, pasidEntry(PASS), {}, { output_bits: 46 }).ask(1n << 46n),
  ],
  ["SGN.5", 0x84, "OOR_ADDRESS", true, (f) => second(f, {}, { input_bits: 40 }).ask(1n << 40n)],
  [
    "SGN.6",
    0x85,
    "PERMISSION",
    true,
    (f) => {
      const m = first(f);
      chain(m, FS, 4, IOVA, OPEN, LEAF & ~2n);
      return m.ask(IOVA, { access: "w" });
    },
  ],
  [
    "SGN.7",
    0x86,
    "PERMISSION",
    true,
    (f) => {
      const m = second(f);
      chain(m, SS, 4, IOVA, 3n, SS_LEAF & ~1n);
      return m.ask(IOVA);
    },
  ],
  [
    "SGN.8.1",
    0x87,
    "OOR_ADDRESS",
    true,
    (f) => scalable(f, pasidEntry(PASS)).ask(0xfeef_f000n, { pasid: 1 }),
  ],
  [
    "SGN.10",
    0x89,
    "PASID_INVALID",
    true,
    (f) => first(f, 0n, { ecap: ECAP_ALL & ~(0x1fn << 35n) }).ask(IOVA, { pasid: 2 }),
  ],
  [
    "18h",
    0x18,
    "PERMISSION",
    true,
    (f) => {
      const m = extended(f, 0x0400_0010n);
      chain(m, FS, 4, IOVA, OPEN, LEAF | (1n << 63n));
      return m.ask(IOVA, { pasid: 1, access: "x" });
    },
  ],
  ["19h", 0x19, "PERMISSION", true, (f) => extended(f, 0n).ask(IOVA, { pasid: 1, access: "x" })],
  ["1Ah", 0x1a, "PERMISSION", true, (f) => extended(f, 0n).ask(IOVA, { pasid: 1, priv: true })],
];

describe("VT-d faults (Table 30)", () => {
  it.each(ROWS)("%s is %i, %s", (name, code, reason, _qualified, meet) => {
    expect(meet(0n)).toMatchObject({ result: "fault", name, code, reason });
    expect(meet(0n).recorded).toBeUndefined();
  });

  it.each(ROWS)("%s under FPD", (name, code, _reason, qualified, meet) => {
    const seen = meet(2n);
    expect(seen).toMatchObject({ name, code });
    expect(seen.recorded).toBe(qualified ? false : undefined);
  });

  it("every condition that a walk can meet has a row", () => {
    expect(ROWS.map((row) => row[0]).sort()).toEqual(VTD_WALK_FAULTS.map((f) => f.name).sort());
  });

  it("the table says of each condition what its row says", () => {
    for (const [name, code, , qualified] of ROWS) {
      const fault = VTD_WALK_FAULTS.find((f) => f.name === name)!;
      expect({ code: fault.code, qualified: fault.qualified }, name).toEqual({ code, qualified });
    }
  });

  it("names are unique, and every reason of Linux's table is known", () => {
    const names = VTD_FAULTS.map((f) => f.name);
    expect(new Set(names).size).toBe(names.length);
    // drivers/iommu/intel/dmar.c: the reasons that have a sentence there.
    const linux = [
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26],
      ...[0x30, 0x31, 0x32, 0x38, 0x39, 0x3a, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48],
      ...[0x50, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76],
      ...[0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x90],
    ];
    const codes = new Set(VTD_FAULTS.map((f) => f.code));
    expect(linux.filter((code) => !codes.has(code))).toEqual([]);
  });
});

describe("which capability allows what", () => {
  it.each([
    ["FSTS", 47, "SPT.4.2", pasidEntry(FIRST)],
    ["SSTS", 46, "SPT.3", pasidEntry(SECOND)],
    ["NEST", 26, "SPT.4.2", pasidEntry(NEST)],
    ["PT", 6, "SPT.4.2", pasidEntry(PASS)],
  ] as const)("without ECAP.%s", (_name, bit, fault, entry) => {
    const words = fault === "SPT.4.2" && bit === 47 ? [AW4 | FIRST | 1n, 9n, 0n, 0n] : [...entry];
    const m = scalableMachine(words, { ecap: ecapWithout(bit), cap: CAP_ALL });
    expect(m.ask(IOVA)).toMatchObject({ name: fault });
  });
});
