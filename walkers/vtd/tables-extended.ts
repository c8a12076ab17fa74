import { FRAME_BYTES } from "../memory.ts";
import type { Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, TableSpec } from "../tables/tree.ts";
import { EXTENDED_CONTEXT, VtdDevice } from "./context.ts";
import { tablePasids } from "./ecs.ts";
import {
  allowsDeviceTlb,
  EXT_GUEST,
  EXT_GUEST_DEVICE_TLB,
  EXT_HOST,
  EXT_HOST_DEVICE_TLB,
  EXT_PASS_THROUGH,
  ExtendedContextEntry,
  ExtendedPasidEntry,
} from "./ecs-structures.ts";
import {
  conflict,
  HOST_WIDTH,
  illegal,
  kind,
  lacks,
  type PasidContext,
  type VtdChecks,
} from "./tables-checks.ts";

/** The extended mode of revisions 2.x: context entries and flat PASID tables. */
export class VtdExtendedTables {
  readonly #checks: VtdChecks;

  constructor(checks: VtdChecks) {
    this.#checks = checks;
  }

  readonly context: EntryKind = kind(ExtendedContextEntry, "P", (entry) => {
    const { caps } = this.#checks.walker;
    entry.reservedBits(
      TABLE_RULES["reserved-entry-bits"],
      caps.reserved.extendedContext,
      ["SLPTPTR", "PASIDPTR", "PASIDSTPTR"],
      HOST_WIDTH,
    );
    this.#checks.width(entry);
    const type = Number(entry.value("T"));
    const pasids = entry.value("PASIDE") !== 0n;
    if (type > EXT_GUEST_DEVICE_TLB || type === 3) illegal(entry, "T", "expected 0 to 2, 4 or 5");
    if (allowsDeviceTlb(type) && !caps.deviceTlb) lacks(entry, "T", "ECAP.DT");
    const passes = type === EXT_PASS_THROUGH || type === EXT_GUEST || type === EXT_GUEST_DEVICE_TLB;
    if (passes && !caps.passThrough) lacks(entry, "T", "ECAP.PT");
    if ((type === EXT_GUEST || type === EXT_GUEST_DEVICE_TLB) && !pasids)
      conflict(entry, "T", "expected another type where PASIDE is 0", "VT-d 2.4, 9.4");
    const nested = entry.value("NESTE") !== 0n;
    if (type === EXT_HOST || type === EXT_HOST_DEVICE_TLB || nested)
      this.#checks.secondStage(entry, "", null);
    if (!pasids || type === EXT_PASS_THROUGH || !caps.supportsWidth(Number(entry.value("AW")))) return;
    this.#leadToPasids(entry, nested);
  });

  #leadToPasids(entry: Entry, nested: boolean): void {
    const { caps } = this.#checks.walker;
    const below = nested ? new VtdDevice() : null;
    if (below !== null) {
      below.context = EXTENDED_CONTEXT;
      below.secondRoot = Number(entry.value("SLPTPTR"));
      below.secondLevels = 2 + Number(entry.value("AW"));
    }
    const limit = Math.min(tablePasids(Number(entry.value("PTS"))), caps.pasidLimit);
    const frame = Number(entry.value("PASIDPTR"));
    if (!this.#checks.leads(entry, "PASIDPTR", frame, this.#checks.resolver(below))) return;
    entry.leadsTo(
      this.pasidTable(frame, limit, {
        name: below === null ? "" : `nested ${below.secondRoot}/${below.secondLevels}`,
        device: entry.device,
        limit,
        also: -1,
        below,
        scope: `ext did ${Number(entry.value("DID"))} `,
      }),
    );
  }

  pasidTable(frame: number, size: number, pasids: PasidContext): TableSpec {
    const resolve = this.#checks.resolver(pasids.below);
    return {
      kind: kind(
        ExtendedPasidEntry,
        "P",
        (entry) => {
          const { caps } = this.#checks.walker;
          entry.reservedBits(
            TABLE_RULES["reserved-entry-bits"],
            caps.reserved.extendedPasid,
            ["FLPTPTR"],
            HOST_WIDTH,
          );
          const mode = Number(entry.value("FLPM"));
          if (mode > 1) illegal(entry, "FLPM", "expected 0 or 1", "VT-d 2.5, 9.5");
          if (mode === 1 && !caps.firstStageFiveLevel) lacks(entry, "FLPM", "CAP.5LP");
          this.#checks.leads(entry, "FLPTPTR", Number(entry.value("FLPTPTR")), resolve);
        },
        "pasid",
      ),
      context: pasids.name,
      frame,
      offset: 0,
      entries: Math.max(size, FRAME_BYTES / ExtendedPasidEntry.bytes),
      first: 0,
      limit: pasids.limit,
      device: pasids.device,
      resolve,
    };
  }
}
