import { referenceTranslate } from "../../support/smmuv3-reference.ts";
import {
  ADDRESS_TYPES,
  deviceId,
  ok,
  type ReferenceAnswer,
  type ReferenceDevice,
  type ReferenceMachine,
  rights,
  SKIPPED,
  type TraceRequest,
} from "./device.ts";

/** IHI 0070, 7.3. */
const EVENTS: Readonly<Record<string, number>> = {
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
};
const STE_BYTES = 64n;
const ADDRESS_BITS = [32, 36, 40, 42, 44, 48, 52, 56];

/** Fields of registers (6.3). */
class Registers {
  readonly #machine: ReferenceMachine;
  constructor(machine: ReferenceMachine) {
    this.#machine = machine;
  }
  bit(name: string, n: number): boolean {
    return ((this.#machine.reg(name) >> BigInt(n)) & 1n) === 1n;
  }
  /** IDR5.OAS. */
  truncated(address: bigint): bigint {
    return BigInt.asUintN(ADDRESS_BITS[Number(this.#machine.reg("idr5") & 7n)]!, address);
  }
}

/** 3.3.2: the STE of a stream, in a table of one level or of two; or the event that there is none. */
function steOf(machine: ReferenceMachine, sid: bigint): bigint | string {
  const pointer = machine.reg("strtab_base") & 0xff_ffff_ffff_ffc0n;
  const cfg = machine.reg("strtab_base_cfg");
  const size = cfg & 0x3fn;
  // 6.3.25: other values are reserved, and behave as 6.
  const given = (cfg >> 6n) & 0x1fn;
  const split = given === 8n || given === 10n ? given : 6n;
  // 6.3.2, 6.3.25: no more than IDR1.SIDSIZE counts; FMT 2 and 3 are reserved, and behave as 0.
  if (sid >= 1n << size || sid >> (machine.reg("idr1") & 0x3fn) !== 0n) return "C_BAD_STREAMID";
  // 6.3.24, 6.3.25: the base is aligned to the table's size; where IDR0.ST_LEVEL is 0 there is one level.
  const aligned = (log2: bigint) => (pointer >> log2) << log2;
  const twoLevel = ((cfg >> 16n) & 3n) === 1n && ((machine.reg("idr0") >> 27n) & 3n) !== 0n;
  if (!twoLevel) return aligned(size + 6n) + STE_BYTES * sid;
  const base = aligned(size > split + 3n ? size - split + 3n : 6n);
  const l1 = machine.read(base + 8n * (sid >> split));
  if (l1 === undefined) return "F_STE_FETCH";
  const span = l1 & 0x1fn;
  const index = sid & ((1n << split) - 1n);
  if (span === 0n || span > split + 1n || index >= 1n << (span - 1n)) return "C_BAD_STREAMID";
  return (((l1 & 0xff_ffff_ffff_ffc0n) >> (span + 5n)) << (span + 5n)) + STE_BYTES * index;
}

/** 3.9.1, 5.5, 6.3.12: whether an event is put into the queue. */
function records(regs: Registers, [name, ...words]: readonly string[], at: TraceRequest["at"]): boolean {
  if (!regs.bit("cr0", 2) || words.includes("unrecorded")) return false;
  const stage = words.some((word) => word === "S1" || word === "S2");
  const bySid = name !== "C_BAD_STREAMID" || regs.bit("cr2", 1);
  if (at === undefined || at === "untranslated") return bySid;
  if (name === "F_BAD_ATS_TREQ" || name === "F_TRANSL_FORBIDDEN") return true;
  if (at === "translated") return stage || regs.bit("cr2", 3);
  return (!stage || name === "F_WALK_EABT") && regs.bit("cr2", 3) && bySid;
}

function refused(regs: Registers, words: readonly string[], at: TraceRequest["at"]): ReferenceAnswer {
  const [name] = words as [string];
  const stage = words.includes("S1") ? 1 : words.includes("S2") ? 2 : undefined;
  return {
    result: "fault",
    code: `0x${EVENTS[name]!.toString(16)}`,
    ...(stage === undefined ? {} : { stage }),
    recorded: records(regs, words, at),
  };
}

/** 6.3.9, 6.3.14: an SMMU that is off. */
function whileOff(regs: Registers, address: bigint, at: TraceRequest["at"]): ReferenceAnswer {
  if (at === "translated") return refused(regs, ["F_TRANSL_FORBIDDEN"], at);
  if (at === "translation-request") return refused(regs, ["F_BAD_ATS_TREQ"], at);
  const aborted = regs.bit("gbpa", 20) || regs.truncated(address) !== address;
  return aborted ? { result: "fault", recorded: false } : ok(address);
}

export const smmuv3Device: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "SMMUv3 reference",
    model: "arm-smmuv3",
    window: 64,
    supports: { at: ADDRESS_TYPES },
  },
  ask(machine, request: TraceRequest, address) {
    const regs = new Registers(machine);
    const { at } = request;
    if (!regs.bit("cr0", 0)) return whileOff(regs, address, at);
    const atsChecked = regs.bit("cr0", 4);
    if (at === "translated" && !atsChecked) return ok(regs.truncated(address));
    const sid = BigInt(deviceId(request.dev));
    // Contexts of what has been translated are not in the reference.
    if (at === "translated" && regs.bit("idr3", 16) && request.pasid !== undefined) return SKIPPED;
    const ste = steOf(machine, sid);
    if (typeof ste === "string") return refused(regs, [ste], at);
    const smmu = {
      idr0: machine.reg("idr0"),
      idr1: withSsidSize(machine.reg("idr1")),
      idr3: machine.reg("idr3"),
      idr5: machine.reg("idr5"),
      e2h: (machine.reg("cr2") & 1n) === 1n,
      atsChecked,
      read: (where: bigint, bigEndian?: boolean) => machine.read(where, bigEndian),
    };
    const ask = {
      ssid: request.pasid,
      address,
      ...rights(request.access),
      privileged: request.priv === true,
      ...(at === undefined ? {} : { at }),
    };
    const words = referenceTranslate(smmu, ste, ask).split(" ") as [string, ...string[]];
    if (words[0] === "ok") return ok(BigInt(words[1]!));
    if (words[0] === "STE.Config") return { result: "fault", recorded: false };
    return refused(regs, words, at);
  },
};

/** 6.3.2: SSIDSIZE is 20 at most. */
function withSsidSize(idr1: bigint): bigint {
  const size = (idr1 >> 6n) & 0x1fn;
  return size > 20n ? (idr1 & ~(0x1fn << 6n)) | (20n << 6n) : idr1;
}
