import { FRAME_BYTES, frameHi, frameLo } from "../memory.ts";
import { exceeds } from "../page-tables/vtd-second-stage.ts";
import { address, type Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, TableSpec } from "../tables/tree.ts";
import { PASID_TABLE_BITS } from "./scalable.ts";
import {
  PasidDirectoryEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND_STAGE,
} from "./structures.ts";
import {
  conflict,
  HOST_WIDTH,
  illegal,
  kind,
  lacks,
  type PasidContext,
  type VtdChecks,
} from "./tables-checks.ts";

const PASIDS_PER_TABLE = 1 << PASID_TABLE_BITS;
const TAGGING = "VT-d 5.10, 6.2.1";

/** Scalable mode's PASID directories and PASID tables. */
export class VtdPasidTables {
  readonly #checks: VtdChecks;

  constructor(checks: VtdChecks) {
    this.#checks = checks;
  }

  /**
   * A PASID directory.
   * @param size PASIDs that it is known to have room for: its last page is looked at as a whole; 0: not known, and
   *   only its first page is looked at
   */
  directory(frame: number, size: number, pasids: PasidContext): TableSpec {
    const perFrame = FRAME_BYTES / PasidDirectoryEntry.bytes;
    const pages = Math.max(Math.ceil(size / PASIDS_PER_TABLE / perFrame), 1);
    return {
      kind: {
        ...this.#directoryKind(pasids),
        below: { ...this.#pasidKind(pasids), entries: PASIDS_PER_TABLE },
      },
      context: `${pasids.name}`,
      frame,
      offset: 0,
      entries: pages * perFrame,
      first: 0,
      limit: pasids.limit,
      also: pasids.also,
      device: pasids.device,
      resolve: this.#checks.resolver(pasids.below),
    };
  }

  #directoryKind(pasids: PasidContext): EntryKind {
    return kind(
      PasidDirectoryEntry,
      "P",
      (entry) => {
        const { reserved } = this.#checks.walker.caps;
        entry.reservedBits(
          TABLE_RULES["reserved-entry-bits"],
          reserved.pasidDirectory,
          ["SMPTBLPTR"],
          HOST_WIDTH,
        );
        const frame = Number(entry.value("SMPTBLPTR"));
        const resolve = this.#checks.resolver(pasids.below);
        if (!this.#checks.leads(entry, "SMPTBLPTR", frame, resolve)) return;
        entry.leadsTo({
          kind: this.#pasidKind(pasids),
          context: pasids.name,
          frame,
          offset: 0,
          entries: PASIDS_PER_TABLE,
          first: entry.first,
          limit: pasids.limit,
          also: pasids.also,
          device: pasids.device,
          resolve,
        });
      },
      "pasid",
      PASIDS_PER_TABLE,
    );
  }

  #pasidKind(pasids: PasidContext): EntryKind {
    return kind(PasidEntry, "P", (entry) => this.#judgePasid(entry, pasids), "pasid");
  }

  /** 7.1.3, SPT.3 and SPT.4. */
  #judgePasid(entry: Entry, pasids: PasidContext): void {
    const { caps } = this.#checks.walker;
    entry.reservedBits(
      TABLE_RULES["reserved-entry-bits"],
      caps.reserved.pasid,
      ["SSPTPTR", "FSPTPTR", "HPTPTR"],
      HOST_WIDTH,
    );
    const type = Number(entry.value("PGTT"));
    const first = type === PGTT_FIRST_STAGE || type === PGTT_NESTED;
    const second = type === PGTT_SECOND_STAGE || type === PGTT_NESTED;
    this.#checkType(entry, type, pasids);
    if (first) {
      const mode = Number(entry.value("FSPM"));
      if (mode > 1) illegal(entry, "FSPM", "expected 0 or 1", "VT-d 5.10, 7.1.3, SPT.4.3");
      if (mode === 1 && !caps.firstStageFiveLevel) lacks(entry, "FSPM", "CAP.FS5LP");
    }
    if (second) {
      this.#checks.width(entry);
      this.#checks.secondStage(entry, pasids.scope, pasids.below);
    }
    this.#checks.domainZero(entry);
    if (first) this.#checkFirstStage(entry, type, pasids);
  }

  #checkType(entry: Entry, type: number, pasids: PasidContext): void {
    const { caps } = this.#checks.walker;
    if (type < PGTT_FIRST_STAGE || type > PGTT_PASS_THROUGH) {
      illegal(entry, "PGTT", "expected 1 to 4", "VT-d 5.10, 7.1.3, SPT.4.2");
      return;
    }
    if (type === PGTT_FIRST_STAGE && !caps.firstStage) lacks(entry, "PGTT", "ECAP.FSTS");
    if (type === PGTT_SECOND_STAGE && !caps.secondStage) lacks(entry, "PGTT", "ECAP.SSTS");
    if (type === PGTT_NESTED && !caps.nested) lacks(entry, "PGTT", "ECAP.NEST");
    if (type === PGTT_PASS_THROUGH && !caps.passThrough) lacks(entry, "PGTT", "ECAP.PT");
    if (pasids.below !== null && (type === PGTT_SECOND_STAGE || type === PGTT_NESTED))
      conflict(
        entry,
        "PGTT",
        "expected first stage or pass-through, since the binding has a second stage already",
        "VT-d 5.10, 7.1.3, SPT.4.2",
      );
  }

  #checkFirstStage(entry: Entry, type: number, pasids: PasidContext): void {
    const { caps } = this.#checks.walker;
    const frame = Number(entry.value("FSPTPTR"));
    if (type === PGTT_NESTED) {
      const width = caps.secondStageWidth(2 + Number(entry.value("AW")));
      if (exceeds(frameHi(frame), frameLo(frame), width))
        entry.complain(
          TABLE_RULES["address-too-wide"],
          "FSPTPTR",
          `expected an address of ${width} bits, the smaller of CAP.MGAW and AW`,
          "VT-d 5.10, 7.1.3, SPT.4.4",
        );
    } else this.#checks.leads(entry, "FSPTPTR", frame, this.#checks.resolver(pasids.below));
    const levels = 4 + Number(entry.value("FSPM"));
    const domain = Number(entry.value("DID"));
    entry.tag({
      key: `${pasids.scope}did ${domain} pasid ${entry.first}`,
      target: `${frame}/${levels}`,
      name: `DID ${domain} with PASID ${entry.first}`,
      points: `the ${levels}-level first-stage table at ${address(frame)}`,
      field: "DID",
      source: TAGGING,
    });
  }
}
