import {
  CAP,
  type Context,
  contextOf,
  ECAP,
  HOST_WIDTH,
  type Refusal,
} from "../../support/vtd-context-reference.ts";
import { type ReferenceAsk, referenceWalk } from "../../support/vtd-reference.ts";
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

/** VT-d 5.10, 7.1.3, Table 37: codes of the conditions of page tables. */
const CODES: Readonly<Record<string, number>> = {
  "SPT.6": 0x5d,
  "SFS.1": 0x70,
  "SFS.2": 0x71,
  "SFS.3": 0x72,
  "SFS.4": 0x73,
  "SFS.5": 0x74,
  "SFS.6": 0x75,
  "SFS.7": 0x76,
  "SFS.8": 0x77,
  "SSS.1": 0x78,
  "SSS.2": 0x79,
  "SSS.3": 0x7a,
  "SSS.4": 0x7b,
  "SGN.1": 0x80,
  "SGN.2": 0x81,
  "SGN.5": 0x84,
  "SGN.6": 0x85,
  "SGN.7": 0x86,
  "SGN.8.1": 0x87,
};
/** The same in legacy mode: LSS, LGN, LCT.4.3. What grants nothing is named by the access (SSS.2). */
const LEGACY_CODES: Readonly<Record<string, number>> = {
  "SSS.1": 0x7,
  "SSS.3": 0xc,
  "SSS.4": 0x3,
  "SGN.5": 0x4,
  "SGN.6": 0x5,
  "SGN.7": 0x6,
  "SGN.8.1": 0xe,
};
/**
 * 7.1.2, Table 30: conditions that a successful completion tells of a translation request, so that nothing is recorded:
 * LGN.1.1, LGN.2, LGN.3, SPD.2, SPT.2, SPT.6, SFS.1 to SFS.9, SSS.2, SGN.1, SGN.2, SGN.4.2, SGN.5, SGN.6, SGN.7.
 */
const TOLD: readonly number[] = [
  ...[0x4, 0x5, 0x6, 0x51, 0x59, 0x5d],
  ...[0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x90],
  ...[0x79, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86],
];

function fault({ code, recorded }: Refusal, at: TraceRequest["at"], stage?: number): ReferenceAnswer {
  return {
    result: "fault",
    code: `0x${code.toString(16)}`,
    recorded: recorded && !(at === "translation-request" && TOLD.includes(code)),
    ...(stage === undefined ? {} : { stage }),
  };
}

/** 3.9, 4: an address that is not translated, of the host's width and not of interrupts (LGN.1, LGN.4, SGN.4, SGN.8). */
function passed(address: bigint, { legacy, fpd }: Context, at: TraceRequest["at"]): ReferenceAnswer {
  if (address >> BigInt(HOST_WIDTH) !== 0n) return fault({ code: legacy ? 0x4 : 0x83, recorded: !fpd }, at);
  if (address >> 20n === 0xfeen) return fault({ code: legacy ? 0xe : 0x87, recorded: !fpd }, at);
  return ok(address);
}

/** Tables; of a translation request, whether they grant reading or writing. */
function walked(
  machine: ReferenceMachine,
  context: Extract<Context, { entry: unknown }>,
  ask: ReferenceAsk,
  at: TraceRequest["at"],
): ReferenceAnswer {
  const unit = { read: (address: bigint) => machine.read(address), hostWidth: HOST_WIDTH, guestWidth: 52 };
  const walk = (needs: Pick<ReferenceAsk, "read" | "write">) =>
    referenceWalk(unit, context.entry, { ...ask, ...needs });
  const asks = at === "translation-request";
  const reading = walk(asks ? { read: true, write: false } : ask);
  if ("pa" in reading) return ok(reading.pa);
  const writing = asks ? walk({ read: false, write: true }) : reading;
  if ("pa" in writing) return ok(writing.pa);
  const { fault: name, stage } = reading;
  const nothing = context.legacy && name === "SSS.2" ? (ask.write && !asks ? "SGN.6" : "SGN.7") : name;
  const code = (context.legacy ? LEGACY_CODES : CODES)[nothing];
  if (code === undefined) throw new Error(`no code of ${name}`);
  return fault({ code, recorded: !context.fpd }, at, stage);
}

export const vtdDevice: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "VT-d reference",
    model: "intel",
    window: 64,
    supports: {
      regs: { cap: CAP, ecap: ECAP },
      props: { output_bits: HOST_WIDTH },
      access: ["r", "w", "rw"],
      at: ADDRESS_TYPES,
    },
  },
  ask(machine, request, address): ReferenceAnswer {
    const { pasid, at = "untranslated" } = request;
    // A trace that does not tell of TES is of a unit that translates (docs/trace-format.md).
    const enabled = ((machine.reg("gsts", 1n << 31n) >> 31n) & 1n) === 1n;
    // 3.15: without PASID the interrupt range is none of the tables'.
    if (pasid === undefined && address >> 20n === 0xfeen && at !== "translated") {
      if (at === "translation-request") return SKIPPED;
      if (request.access === "w") return { result: "msi" };
      if (enabled) return fault({ code: 0x29, recorded: true }, at);
    }
    if (!enabled) return ok(address);
    const privileged = request.priv === true && pasid !== undefined;
    const context = contextOf(
      // 11.4.5: hardware may leave out bits 63:HAW.
      { rtaddr: BigInt.asUintN(HOST_WIDTH, machine.reg("rtaddr")), read: (where) => machine.read(where) },
      { device: deviceId(request.dev), pasid, privileged, at },
    );
    if ("code" in context) return fault(context, at);
    if ("passes" in context) return passed(address, context, at);
    // What walks that are not snooped may set in memory (3.10) is not in the reference.
    if (!context.snooped) return SKIPPED;
    return walked(machine, context, { address, ...rights(request.access), privileged }, request.at);
  },
};
