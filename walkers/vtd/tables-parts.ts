import type { Layout } from "../layout.ts";
import { FRAME_BYTES, FRAME_SHIFT, frameHi, frameLo } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type {
  EntryKind,
  JudgedEntry,
  PageTables,
  Pointer,
  Reach,
  ReservedBits,
  Resolver,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import type { VtdDevice } from "./context.ts";
import { CapabilityRegister } from "./registers.ts";
import { useBoundStage } from "./unit.ts";
import { VTD_UPDATES } from "./updates.ts";
import type { VtdWalker } from "./walker.ts";

const SAME_DOMAIN = "VT-d 5.10, 9.3";

/** What entries of several structures have. */
export class VtdParts {
  readonly walker: VtdWalker;
  reach: Reach = { frames: 0, width: "" };
  readonly #out = new WalkResult();
  #domainZeroReserved = false;

  constructor(walker: VtdWalker) {
    this.walker = walker;
  }

  configure(state: IommuState): void {
    this.walker.configure(state);
    const { hostWidth } = this.walker.caps;
    this.reach = { frames: 2 ** (hostWidth - FRAME_SHIFT), width: `${hostWidth} bits` };
    this.#domainZeroReserved = state.field("cap", CapabilityRegister, "CM", 0) !== 0;
  }

  /** The table of the second stage, and the domain id that it is cached under. */
  secondStage(
    field: string,
    frame: number,
    levels: number,
    domain: number,
    scope: string,
    resolve?: Resolver,
    because = "",
  ): Pointer {
    const tag = () => ({
      key: `${scope}did ${domain}`,
      target: `${frame}/${levels}`,
      name: `DID ${domain}`,
      points: `the ${levels}-level second-stage table at ${addressText(frame)}`,
      field: "DID",
      source: SAME_DOMAIN,
    });
    const tables = { format: "vtd-ss", because, rootBytes: FRAME_BYTES } as const;
    return { field, frame, reach: this.reach, resolve, tag, tables };
  }

  /** 9.3: domain id 0 where CAP.CM reserves it. */
  domainZero(entry: JudgedEntry): void {
    if (this.#domainZeroReserved && entry.value("DID") === 0n)
      entry.complain(TABLE_RULES["reserved-domain-id"], "DID", "expected another, since CAP.CM is 1");
  }

  /** The second stage of a device; null: none. */
  resolver(device: VtdDevice | null): Resolver | undefined {
    if (device === null) return undefined;
    return (frame) => {
      const { second } = this.walker;
      this.#out.reset("intel");
      useBoundStage(this.walker, device);
      if (!second.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out)) return -1;
      return second.frame;
    };
  }
}

/** @param five 1: of 5 levels */
export function firstStageTables(five: number, because: string): PageTables {
  return { format: five === 1 ? "x86-64-5lvl" : "x86-64", because, rootBytes: FRAME_BYTES };
}

/** What all kinds of entries have that are present where one bit says so. */
export function kind<F extends string>(
  layout: Layout<F>,
  present: F,
): Pick<EntryKind, "layout" | "littleEndian" | "updates" | "valid"> {
  const read = layout.reader(present);
  const updates =
    layout.bytes < VTD_UPDATES.read
      ? { ...VTD_UPDATES, read: layout.bytes, store: layout.bytes }
      : VTD_UPDATES;
  return { layout, littleEndian: true, updates, valid: (view, at) => read(view, at) !== 0 };
}

export function reservedBits(words: Uint32Array, addresses: readonly string[]): ReservedBits {
  return { words: () => words, addresses, width: "the host address width" };
}
