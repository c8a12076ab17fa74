import { referenceTranslate } from "../../support/smmuv3-reference.ts";
import {
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
  F_STREAM_DISABLED: 0x06,
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

/** SMMU_CR0: SMMUEN, EVENTQEN, CMDQEN. The reference knows no SMMU that is off. */
const CR0 = "0xd";

function event(name: string): ReferenceAnswer {
  return { result: "fault", code: `0x${EVENTS[name]!.toString(16)}` };
}

/** 3.3.2: the STE of a stream, in a table of one level or of two; or the event that there is none. */
function steOf(machine: ReferenceMachine, sid: bigint): bigint | string {
  const base = machine.reg("strtab_base") & 0xff_ffff_ffff_ffc0n;
  const cfg = machine.reg("strtab_base_cfg");
  const size = cfg & 0x3fn;
  // 6.3.25: other values are reserved, and behave as 6.
  const given = (cfg >> 6n) & 0x1fn;
  const split = given === 8n || given === 10n ? given : 6n;
  if (sid >= 1n << size) return "C_BAD_STREAMID";
  if (((cfg >> 16n) & 3n) !== 1n) return base + STE_BYTES * sid;
  const l1 = machine.read(base + 8n * (sid >> split));
  if (l1 === undefined) return "F_STE_FETCH";
  const span = l1 & 0x1fn;
  const index = sid & ((1n << split) - 1n);
  if (span === 0n || span > split + 1n || index >= 1n << (span - 1n)) return "C_BAD_STREAMID";
  return (((l1 & 0xff_ffff_ffff_ffc0n) >> (span + 5n)) << (span + 5n)) + STE_BYTES * index;
}

export const smmuv3Device: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "SMMUv3 reference",
    model: "arm-smmuv3",
    window: 64,
    supports: { regs: { cr0: CR0 } },
  },
  ask(machine, request: TraceRequest, address) {
    const sid = BigInt(deviceId(request.dev));
    const cfg = machine.reg("strtab_base_cfg");
    // How table and base fit each other is not in the reference.
    if (((cfg >> 16n) & 3n) > 1n || sid >> (machine.reg("idr1") & 0x3fn) !== 0n) return SKIPPED;
    const ste = steOf(machine, sid);
    if (typeof ste === "string") return event(ste);
    const smmu = {
      idr0: machine.reg("idr0"),
      idr1: machine.reg("idr1"),
      idr3: machine.reg("idr3"),
      idr5: machine.reg("idr5"),
      e2h: (machine.reg("cr2") & 1n) === 1n,
      read: (at: bigint, bigEndian?: boolean) => machine.read(at, bigEndian),
    };
    const ask = {
      ssid: request.pasid,
      address,
      ...rights(request.access),
      privileged: request.priv === true,
    };
    const [name, ...words] = referenceTranslate(smmu, ste, ask).split(" ") as [string, ...string[]];
    if (name === "ok") return ok(BigInt(words[0]!));
    if (name === "STE.Config") return { result: "fault", recorded: false };
    const stage = words.includes("S1") ? 1 : words.includes("S2") ? 2 : undefined;
    return {
      ...event(name),
      ...(stage === undefined ? {} : { stage }),
      ...(words.includes("unrecorded") ? { recorded: false } : {}),
    };
  },
};
