import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeCommand, formatCommand } from "../walkers/commands/command.ts";
import {
  ANY,
  COMBINED_BY_ADDRESS,
  CONTEXT_CACHE,
  coversDomain,
  DEVICE_TLB,
  FIRST_STAGE,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  SECOND_STAGE,
  UNPREDICTABLE,
} from "../walkers/invalidation.ts";
import {
  commandsOf,
  expectNoInvalidation,
  expectTaken,
  rangeOf,
  state,
  withBit,
  words,
} from "./support/command-words.ts";

const { decode, problems } = commandsOf("riscv");

const VMA = 0x001n;
const GVMA = 0x081n;
const AV = 1n << 10n;
const PSCV = 1n << 32n;
const GV = 1n << 33n;
const NL = 1n << 34n;
const S = 1n << 9n;
/** ADDR[63:12] stands in bits 61:10 of the second word. */
const addr = (a: bigint) => (a >> 12n) << 10n;

describe("commands that the reference model and QEMU took", () => {
  const REFERENCE = state({ capabilities: 0x1f8874ece10n, fctl: 0n, ddtp: 0x20000003n });
  it.each([
    [0x1n, 0x0n, "IOTINVAL.VMA"],
    [0x81n, 0x0n, "IOTINVAL.GVMA"],
    [0x200300003401n, 0x8e245e800n, "IOTINVAL.VMA GSCID 0x2 PSCID 0x3 addr 0x238917a000"],
    [0x401n, 0x3ffffff495bde400n, "IOTINVAL.VMA addr 0xffffffd256f79000"],
    [0x100002401n, 0x369eb673b77800n, "IOTINVAL.VMA PSCID 0x2 addr 0xda7ad9cedde000"],
    [0x200200000481n, 0x151a718d1c8c00n, "IOTINVAL.GVMA GSCID 0x2 addr 0x5469c634723000"],
    [0x2n, 0x0n, "IOFENCE.C"],
    [0x3n, 0x0n, "IODIR.INVAL_DDT"],
    [0x200200000003n, 0x0n, "IODIR.INVAL_DDT DID 0x20"],
    [0x4ae70200002083n, 0x0n, "IODIR.INVAL_PDT DID 0x4ae7 PID 0x2"],
  ])("%s %s", (w0, w1, text) => {
    expectTaken(decode(w0, w1, REFERENCE), text, text === "IOFENCE.C");
  });
});

describe("IOTINVAL.VMA", () => {
  const tagged = (5n << 44n) | (7n << 12n);
  // The table of operands and operations.
  it.each([
    [0n, NONE, ANY, true, null, false],
    [PSCV, NONE, 7, false, null, false],
    [AV, NONE, ANY, true, [0x2000n, 0x2fffn], true],
    [AV | PSCV, NONE, 7, false, [0x2000n, 0x2fffn], true],
    [GV, 5, ANY, true, null, false],
    [GV | PSCV, 5, 7, false, null, false],
    [GV | AV, 5, ANY, true, [0x2000n, 0x2fffn], true],
    [GV | AV | PSCV, 5, 7, false, [0x2000n, 0x2fffn], true],
  ])("operands %s", (flags, domain, asid, global, range, leafOnly) => {
    const inv = decode(VMA | tagged | flags, addr(0x2000n)).invalidation!;
    expect(inv).toMatchObject({ domain, asid, global, leafOnly, stage: FIRST_STAGE, pasid: ANY });
    expect(inv.caches).toBe(leafOnly ? IOTLB : IOTLB | PAGING_STRUCTURES);
    expect(rangeOf(inv)).toEqual(range);
  });

  it("of the host concerns only entries without second stage", () => {
    const host = decode(VMA).invalidation!;
    expect([NONE, 0, 5].map((gscid) => coversDomain(host, gscid))).toEqual([true, false, false]);
    const guest = decode(VMA | GV | tagged).invalidation!;
    expect([NONE, 0, 5].map((gscid) => coversDomain(guest, gscid))).toEqual([false, false, true]);
  });

  it("NL adds non-leaf entries of the address; without AV it does not matter", () => {
    expect(decode(VMA | AV | NL, 0n).invalidation).toMatchObject({
      caches: IOTLB | PAGING_STRUCTURES,
      leafOnly: false,
      hasAddress: true,
    });
  });
});

describe("IOTINVAL.GVMA", () => {
  const tagged = 5n << 44n;
  it.each([
    [0n, ANY, null, false],
    // GV=0: AV is ignored.
    [AV, ANY, null, false],
    [GV, 5, null, false],
    [GV | AV, 5, [0x2000n, 0x2fffn], true],
    [GV | AV | NL, 5, [0x2000n, 0x2fffn], false],
  ])("operands %s", (flags, domain, range, leafOnly) => {
    const inv = decode(GVMA | tagged | flags, addr(0x2000n)).invalidation!;
    expect(inv).toMatchObject({ domain, leafOnly, stage: SECOND_STAGE, combined: COMBINED_BY_ADDRESS });
    expect(rangeOf(inv)).toEqual(range);
  });

  it("refuses PSCV", () => {
    expect(problems(GVMA | PSCV)).toEqual(["illegal PSCV"]);
    expect(problems(VMA | PSCV)).toEqual([]);
  });
});

describe("address range invalidation", () => {
  it("takes the size from the lowest zero bit", () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 52n - 1n),
        fc.bigInt(0n, 51n),
        fc.constantFrom(VMA, GVMA | GV),
        (frame, zero, op) => {
          const at = (frame | ((1n << zero) - 1n)) & ~(1n << zero);
          const size = 1n << (zero + 13n);
          const first = ((at << 12n) / size) * size;
          const inv = decode(op | AV, (at << 10n) | S).invalidation;
          expect(rangeOf(inv)).toEqual(zero === 51n ? null : [first, first + size - 1n]);
        },
      ),
    );
  });

  it("all ones are UNSPECIFIED, where the address is used", () => {
    const ones = ((2n ** 52n - 1n) << 10n) | S;
    expect(problems(VMA | AV, ones)).toEqual(["unpredictable ADDR"]);
    expect(decode(VMA | AV, ones).invalidation?.status).toBe(UNPREDICTABLE);
    expect(problems(VMA, ones)).toEqual([]);
    expect(problems(GVMA | AV, ones)).toEqual([]);
    expect(problems(GVMA | GV | AV, ones)).toEqual(["unpredictable ADDR"]);
  });
});

describe("directory, fence and ATS commands", () => {
  it("a device with its processes, all devices, one process", () => {
    const did = 0xabcdefn << 40n;
    expect(decode(0x003n | GV | did).invalidation).toMatchObject({
      caches: CONTEXT_CACHE | PASID_CACHE,
      anyDevice: false,
      device: 0xabcdef,
      leafOnly: true,
    });
    expect(decode(0x003n | did).invalidation).toMatchObject({ anyDevice: true, leafOnly: false });
    expect(decode(0x083n | GV | did | (0x12345n << 12n)).invalidation).toMatchObject({
      caches: PASID_CACHE,
      device: 0xabcdef,
      pasid: 0x12345,
      leafOnly: true,
    });
  });

  it("ATS.INVAL: the payload is the body of the PCIe message", () => {
    const w0 = 0x004n | (5n << 12n) | (0x310n << 40n) | (2n << 56n);
    const process = decode(w0 | PSCV, 0x7800n);
    expect(process.invalidation).toMatchObject({ caches: DEVICE_TLB, device: 0x310, pasid: 5 });
    // S is bit 11 of the payload: 0x7000 with it is 64 KiB.
    expect(rangeOf(process.invalidation)).toEqual([0n, 0xffffn]);
    expect(formatCommand(process)).toBe("ATS.INVAL RID 0x310 PID 0x5 addr 0x7000 S");
    expect(decode(w0 | PSCV, 0x7001n).invalidation?.pasid).toBe(ANY);
    expect(decode(w0, 0x7001n).invalidation?.pasid).toBe(NONE);
    // With DSV the segment is part of the device id.
    expect(decode(w0 | GV, 0x7000n).invalidation?.device).toBe(0x20310);
    expect(rangeOf(decode(w0, 0x7000n).invalidation)).toEqual([0x7000n, 0x7fffn]);
  });

  it.each([
    [0x3c02n | (0xcafen << 32n), 0x4000_0040n >> 2n, "IOFENCE.C PR PW WSI store 0xcafe to 0x40000040"],
    [
      0x084n | PSCV | (5n << 12n) | (0x310n << 40n),
      (0xf007n << 32n) | 0n,
      "ATS.PRGR RID 0x310 PID 0x5 PRGI 7 Response Failure",
    ],
  ])("%s %s invalidates nothing", (w0, w1, text) => {
    expectNoInvalidation(decode(w0, w1), text);
  });
});

describe("illegal commands", () => {
  it.each([
    [0x000n, "illegal OPCODE"],
    [0x005n, "illegal OPCODE"],
    [0x03fn, "illegal OPCODE"],
    [0x101n, "illegal OPCODE"],
    [0x082n, "illegal OPCODE"],
    [0x103n, "illegal OPCODE"],
    [0x104n, "illegal OPCODE"],
    [0x040n, "unpredictable OPCODE"],
    [0x07fn, "unpredictable OPCODE"],
  ])("%s", (w0, problem) => {
    expect(problems(w0)).toEqual([problem]);
    expect(decode(w0).name).toBe("unknown");
  });

  // The reserved bits that the reference model's command_t names.
  it.each([
    [VMA, 11n],
    [VMA, 35n],
    [VMA, 43n],
    [VMA, 60n],
    [VMA, 63n],
    [VMA, 64n],
    [VMA, 72n],
    [VMA, 126n],
    [VMA, 127n],
    [0x002n, 14n],
    [0x002n, 31n],
    [0x002n, 126n],
    [0x003n, 10n],
    [0x003n, 11n],
    [0x003n, 12n],
    [0x003n, 31n],
    [0x003n, 32n],
    [0x003n, 34n],
    [0x003n, 39n],
    [0x003n, 64n],
    [0x083n | GV, 32n],
    [0x004n, 10n],
    [0x004n, 34n],
    [0x004n, 39n],
  ])("%s with bit %s", (w0, bit) => {
    expect(problems(...withBit(w0, bit))).toEqual([`illegal ${bit}`]);
  });

  it("bits that the IOMMU's extensions define", () => {
    const none = state({ capabilities: 0n, fctl: 0n });
    expect(problems(VMA | AV | NL, 0n, none)).toEqual(["illegal 34"]);
    expect(problems(VMA | AV, S, none)).toEqual(["illegal 73"]);
    expect(problems(0x802n, 0n, none)).toEqual(["illegal 11"]);
    expect(problems(0x802n, 0n, state({ fctl: 2n }))).toEqual([]);
    expect(problems(0x004n, 0n, none)).toEqual(["illegal OPCODE"]);
  });

  it("INVAL_PDT without device, ids that are too wide", () => {
    expect(problems(0x083n)).toEqual(["illegal DV"]);
    expect(decode(0x083n).invalidation).toBeNull();
    const pdt = (pid: bigint) => 0x083n | GV | (pid << 12n);
    expect(problems(pdt(0x100n), 0n, state({ capabilities: 1n << 38n }))).toEqual(["illegal PID"]);
    expect(problems(pdt(0xffn), 0n, state({ capabilities: 1n << 38n }))).toEqual([]);
    expect(problems(pdt(0x20000n), 0n, state({ capabilities: 1n << 39n }))).toEqual(["illegal PID"]);
    expect(problems(pdt(0xfffffn), 0n, state({ capabilities: 1n << 40n }))).toEqual([]);
  });

  it.each([
    // ddtp.iommu_mode, MSI_FLAT, first id that is too wide
    [2n, 0n, 0x80n],
    [2n, 1n, 0x40n],
    [3n, 0n, 0x10000n],
    [3n, 1n, 0x8000n],
  ])("device ids of ddtp mode %s, MSI_FLAT %s", (mode, flat, wide) => {
    const known = state({ ddtp: mode, capabilities: flat << 22n });
    expect(problems(0x003n | GV | (wide << 40n), 0n, known)).toEqual(["illegal DID"]);
    expect(problems(0x003n | GV | ((wide - 1n) << 40n), 0n, known)).toEqual([]);
    // Without DV the operand is ignored.
    expect(problems(0x003n | (wide << 40n), 0n, known)).toEqual([]);
  });
});

describe("encoding", () => {
  it("puts the operands where the specification's figures have them", () => {
    expect(
      encodeCommand("riscv", "IOTINVAL.VMA", { AV: 1, GV: 1, PSCV: 1, GSCID: 2, PSCID: 3, ADDR: 0x2389179 }),
    ).toEqual(words(0x2003_0000_3401n, 0x2389179n << 10n));
    expect(encodeCommand("riscv", "IOTINVAL.GVMA", { GV: 1, GSCID: 2 })).toEqual(
      words(0x2002_0000_0081n, 0n),
    );
    expect(encodeCommand("riscv", "IODIR.INVAL_PDT", { DV: 1, DID: 0x4ae7, PID: 2 })).toEqual(
      words(0x4a_e702_0000_2083n, 0n),
    );
    expect(encodeCommand("riscv", "IOFENCE.C", { AV: 1, PR: 1, PW: 1, DATA: 1, ADDR: 0x100 })).toEqual(
      words(0x1_0000_3402n, 0x100n),
    );
  });
});
