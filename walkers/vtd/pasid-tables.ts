import { FRAME_BYTES } from "../memory.ts";
import type { TableModel } from "../models.ts";
import { type BindFindings, bitCount } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import {
  type ParentStage,
  type PasidTableFormat,
  type PasidTableLayout,
  radixInputBits,
} from "../pasid-tables/format.ts";
import { MAX_PASID_BITS } from "../request.ts";
import { VtdBinding } from "./binding.ts";
import { VtdDevice } from "./context.ts";
import { ExtendedPasidEntry } from "./ecs-structures.ts";
import { ExtendedCapabilityRegister } from "./registers.ts";
import { PasidDirectoryEntry, PasidEntry } from "./structures.ts";

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
        context: (bits) => contextOf("intel", bits),
        // VT-d 5.10, 11.4.3: without RPS, RID_PASID is reserved and PASID 0 is used.
        checkFields(_use, { state }, findings) {
          if (rid !== 0 && state.capability("ecap", ExtendedCapabilityRegister, "RPS", 1) === 0)
            findings.add(
              BIND_RULES["bind-rid-pasid"],
              `rid_pasid is ${rid}: expected 0, since ECAP.RPS is 0`,
            );
        },
        secondInputBits,
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
        context: (bits) => contextOf("intel-ecs", bits),
        secondInputBits,
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

/** What a context would say of a table at address 0. */
function contextOf(model: TableModel, pasidBits: number): VtdDevice {
  const device = new VtdDevice();
  new VtdBinding({ model, baseHi: 0, baseLo: 0, pasidBits }).fill(device);
  return device;
}
