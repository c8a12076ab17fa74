import { FRAME_BYTES } from "../memory.ts";
import { type BindFindings, bitCount } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import {
  addressIn,
  type BindHost,
  type EntryFormat,
  formatLacking,
  leafLevel,
  type ParentStage,
  type PasidTableFormat,
  type PasidTableLayout,
  radixInputBits,
} from "../pasid-tables/format.ts";
import { MAX_PASID_BITS } from "../request.ts";
import { VtdCapabilities } from "./capabilities.ts";
import { ExtendedPasidEntry } from "./ecs-structures.ts";
import { ExtendedCapabilityRegister } from "./registers.ts";
import {
  PasidDirectoryEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND_STAGE,
} from "./structures.ts";

/** PDTS of a scalable-mode context entry: 2^(X + 7) directory entries (VT-d 5.10, 9.4). */
const SMALLEST_DIRECTORY = 2 ** 7;
/** PTS of an extended context entry: 2^(X + 5) entries (VT-d 2.4, 9.4). */
const SMALLEST_EXTENDED_TABLE = 2 ** 5;
/** Entries that one page of a PASID table holds. */
const TABLE_ENTRIES = FRAME_BYTES / PasidEntry.bytes;

const secondInputBits = ({ levels }: ParentStage) => radixInputBits(levels);

/** Models of PASID table that a VT-d unit walks, as they are bound. */
export const VTD_PASID_TABLES = {
  intel: {
    largest: {},
    layout: ({ intel }, pasidBits, out): PasidTableLayout => {
      const rid = intel?.rid_pasid ?? 0;
      checkRidPasid(rid, pasidBits, out);
      return {
        reach: MAX_PASID_BITS,
        shape(bits) {
          const entries = Math.max(2 ** bits / TABLE_ENTRIES, SMALLEST_DIRECTORY);
          const bytes = entries * PasidDirectoryEntry.bytes;
          return { what: "PASID directory", bytes, alignment: FRAME_BYTES };
        },
        levels: () => [
          {
            layout: PasidDirectoryEntry,
            present: "P",
            below: Math.log2(TABLE_ENTRIES),
            next: { field: "SMPTBLPTR", bytes: FRAME_BYTES, what: "PASID table" },
          },
          leafLevel(PasidEntry, "P"),
        ],
        // VT-d 5.10, 11.4.3: without RPS, RID_PASID is reserved and PASID 0 is used.
        checkFields(_use, { state }, findings) {
          if (rid !== 0 && state.capability("ecap", ExtendedCapabilityRegister, "RPS", 1) === 0)
            findings.add(
              BIND_RULES["bind-rid-pasid"],
              `rid_pasid is ${rid}: expected 0, since ECAP.RPS is 0`,
            );
        },
        secondInputBits,
        entries,
      };
    },
  },
  "intel-ecs": {
    largest: {},
    layout: ({ intel }, pasidBits, out): PasidTableLayout => {
      checkRidPasid(intel?.rid_pasid ?? 0, pasidBits, out);
      return {
        reach: MAX_PASID_BITS,
        shape(bits) {
          const bytes = Math.max(2 ** bits, SMALLEST_EXTENDED_TABLE) * ExtendedPasidEntry.bytes;
          return { what: "PASID table", bytes, alignment: FRAME_BYTES };
        },
        levels: () => [leafLevel(ExtendedPasidEntry, "P")],
        secondInputBits,
        entries: extendedEntries,
      };
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

function checkRidPasid(rid: number, pasidBits: number | undefined, out: BindFindings): void {
  if (pasidBits === undefined || pasidBits > 32) return;
  if (rid !== 0 && rid >= 2 ** pasidBits)
    out.add(
      BIND_RULES["bind-rid-pasid"],
      `rid_pasid is ${rid}: expected a PASID of ${bitCount(pasidBits)}, below ${2 ** pasidBits}`,
    );
}

/** VT-d 5.10, 9.6: PGTT and FSPM. */
function entries(host: BindHost): EntryFormat {
  const caps = new VtdCapabilities();
  caps.configure(host.state);
  return {
    littleEndian: true,
    rootBytes: FRAME_BYTES,
    read(view, at) {
      const type = Number(PasidEntry.extract("PGTT", view, at));
      const unsupported: string[] = [];
      const roots: bigint[] = [];
      if (type === PGTT_FIRST_STAGE || type === PGTT_NESTED) {
        const five = PasidEntry.extract("FSPM", view, at) === 1n;
        const because = `PGTT is ${type}, FSPM ${five ? 1 : 0}`;
        unsupported.push(...formatLacking(host, five ? "x86-64-5lvl" : "x86-64", because));
        roots.push(addressIn(PasidEntry, "FSPTPTR", view, at));
      }
      if (type === PGTT_SECOND_STAGE || type === PGTT_NESTED) {
        unsupported.push(...formatLacking(host, "vtd-ss", `PGTT is ${type}`));
        roots.push(addressIn(PasidEntry, "SSPTPTR", view, at));
      }
      if (type === PGTT_NESTED && !caps.nested) unsupported.push(`nested translation (PGTT is ${type})`);
      if (type === PGTT_PASS_THROUGH && !caps.passThrough) unsupported.push(`pass-through (PGTT is ${type})`);
      return { unsupported, roots };
    },
  };
}

/** VT-d 2.5, 9.5: FLPM. */
function extendedEntries(host: BindHost): EntryFormat {
  return {
    littleEndian: true,
    rootBytes: FRAME_BYTES,
    read(view, at) {
      const five = ExtendedPasidEntry.extract("FLPM", view, at) === 1n;
      const format = five ? "x86-64-5lvl" : "x86-64";
      return {
        unsupported: formatLacking(host, format, `FLPM is ${five ? 1 : 0}`),
        roots: [addressIn(ExtendedPasidEntry, "FLPTPTR", view, at)],
      };
    },
  };
}
