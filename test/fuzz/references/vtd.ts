import { type ReferenceEntry, referenceWalk } from "../../support/vtd-reference.ts";
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

/** VT-d 5.10, 7.1.3, Table 37: codes of the conditions that the reference knows. */
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
const KINDS = { 1: "first", 2: "second", 3: "nested" } as const;
/** Bits of host-physical addresses; pointers beyond are for the checks before the reference's. */
const HOST_WIDTH = 46;
const ADDRESS = (1n << BigInt(HOST_WIDTH)) - 0x1000n;

/**
 * The PASID table entry that a request comes to (9.2 to 9.6), and null where something on the way to it, or in it, is
 * other than the reference has it: it begins with an entry that translates.
 */
function entryOf(machine: ReferenceMachine, request: TraceRequest): ReferenceEntry | null {
  const rid = deviceId(request.dev);
  const rtaddr = machine.reg("rtaddr");
  if (((rtaddr >> 10n) & 3n) !== 1n || ((machine.reg("gsts") >> 31n) & 1n) === 0n) return null;
  const root = (rtaddr & ADDRESS) + 16n * BigInt(rid >> 8);
  const halves = [machine.read(root), machine.read(root + 8n)];
  if (halves.some((half) => half === undefined || (half & ~ADDRESS & ~1n) !== 0n)) return null;
  const table = halves[(rid & 0x80) === 0 ? 0 : 1]!;
  if ((table & 1n) === 0n) return null;
  const at = (table & ADDRESS) + 32n * BigInt(rid & 0x7f);
  const [context, second, third, fourth] = [0n, 8n, 16n, 24n].map((byte) => machine.read(at + byte));
  if (context === undefined || second === undefined || third !== 0n || fourth !== 0n) return null;
  // P, and what takes no part: FPD, PASIDE, PDTS.
  if ((context & 1n) === 0n || (context & 0x1f4n) !== 0n || second >> 20n !== 0n) return null;
  if (request.pasid !== undefined && ((context & 8n) === 0n || BigInt(request.pasid) === second)) return null;
  const pasid = BigInt(request.pasid ?? second);
  const limit = 1n << (((context >> 9n) & 7n) + 13n);
  if (pasid >= limit || second >= limit) return null;
  const directory = machine.read((context & ADDRESS) + 8n * (pasid >> 6n));
  if (directory === undefined || (directory & ~ADDRESS) !== 1n) return null;
  return decoded(machine, (directory & ADDRESS) + 64n * (pasid & 63n));
}

function decoded(machine: ReferenceMachine, at: bigint): ReferenceEntry | null {
  const words = Array.from({ length: 8 }, (_, i) => machine.read(at + BigInt(8 * i)));
  const [w0, w1, w2] = words as [bigint, bigint, bigint];
  if (words.some((word, i) => word === undefined || (i > 2 && word !== 0n))) return null;
  const kind = KINDS[Number((w0 >> 6n) & 7n) as keyof typeof KINDS];
  const aw = Number((w0 >> 2n) & 7n);
  // SSEE, SSADE and bits 11:10; what PWSNP is not part of; ERE, EAFE and reserved bits; 6 levels.
  if (kind === undefined || (w0 & 1n) === 0n || (w0 & 0xe20n) !== 0n || aw < 1 || aw > 3) return null;
  if ((w1 & ~0x80_ffffn) !== 0n || (w2 & 0xfean) !== 0n) return null;
  if ((w0 | w2) >> BigInt(HOST_WIDTH) !== 0n) return null;
  return {
    kind,
    firstRoot: w2 & ADDRESS,
    firstLevels: (w2 & 4n) === 0n ? 4 : 5,
    secondRoot: w0 & ADDRESS,
    secondLevels: aw + 2,
    supervisor: (w2 & 1n) === 1n,
    writeProtect: (w2 & 0x10n) === 0x10n,
  };
}

export const vtdDevice: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "VT-d reference",
    model: "intel",
    window: 64,
    supports: {
      // MGAW 52, SAGAW 3 to 5 levels, SSLPS both, FS1GP, FS5LP, PSI; MAMV 18. Of ECAP: SMTS, FSTS, SSTS, NEST, SRS, PASID
      // and 20 bits of it, RPS, SC, QI; walks are coherent.
      regs: { cap: "0x1112008c00330e06", ecap: "0x3c99884000083" },
      props: { output_bits: HOST_WIDTH },
      access: ["r", "w", "rw"],
    },
  },
  ask(machine, request, address): ReferenceAnswer {
    const entry = entryOf(machine, request);
    // Without PASID the interrupt range is none of the tables' (3.15).
    if (entry === null || address >> 20n === 0xfeen) return SKIPPED;
    const unit = { read: (at: bigint) => machine.read(at), hostWidth: HOST_WIDTH, guestWidth: 52 };
    const privileged = request.priv === true && request.pasid !== undefined;
    const answer = referenceWalk(unit, entry, { address, ...rights(request.access), privileged });
    if ("pa" in answer) return ok(answer.pa);
    const code = CODES[answer.fault];
    if (code === undefined) throw new Error(`no code of ${answer.fault}`);
    return {
      result: "fault",
      code: `0x${code.toString(16)}`,
      ...(answer.stage === undefined ? {} : { stage: answer.stage }),
    };
  },
};
