import type { Layout } from "../layout.ts";
import { frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { address, type Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, IdKind } from "../tables/tree.ts";
import type { VtdDevice } from "./context.ts";
import { VtdWalker } from "./index.ts";
import { CapabilityRegister } from "./registers.ts";
import { PasidEntry } from "./structures.ts";
import { useBoundStage } from "./unit.ts";

/** 6.5.3.3: entries are fetched in pieces of 128 bits. */
const FETCH_BYTES = 16;
const SAME_DOMAIN = "VT-d 5.10, 9.3";
export const HOST_WIDTH = "the host address width";

/** What a PASID table's entries depend on, besides themselves. */
export interface PasidContext {
  readonly name: string;
  readonly device: number;
  readonly limit: number;
  /** RID_PASID, which ECAP.PSS does not bound. */
  readonly also: number;
  /** Second stage of a bound device: the tables' addresses, and those in their entries, go through it. */
  readonly below: VtdDevice | null;
  /** Whose domain ids these are. */
  readonly scope: string;
}

/** What entries of several structures are checked for. */
export class VtdChecks {
  readonly walker: VtdWalker;
  readonly #out = new WalkResult();
  #domainZeroReserved = false;

  constructor(memory: GuestMemory) {
    this.walker = new VtdWalker(memory);
  }

  configure(state: IommuState): void {
    this.walker.configure(state);
    this.#domainZeroReserved = state.field("cap", CapabilityRegister, "CM", 0) !== 0;
  }

  /** AW, of an entry whose second stage is in use. */
  width(entry: Entry): void {
    const { caps } = this.walker;
    const aw = Number(entry.value("AW"));
    if (aw < 1 || aw > 3) illegal(entry, "AW", "expected 1 to 3");
    else if (!caps.supportsWidth(aw)) lacks(entry, "AW", `bit ${aw} of CAP.SAGAW`);
  }

  /** The table of the second stage, and the domain id that it is cached under. */
  secondStage(entry: Entry, scope: string, below: VtdDevice | null): void {
    const pointer = "SLPTPTR" in entry.layout.fields ? "SLPTPTR" : "SSPTPTR";
    const frame = Number(entry.value(pointer));
    this.leads(entry, pointer, frame, this.resolver(below));
    if (entry.layout !== PasidEntry) this.domainZero(entry);
    const levels = 2 + Number(entry.value("AW"));
    const domain = Number(entry.value("DID"));
    entry.tag({
      key: `${scope}did ${domain}`,
      target: `${frame}/${levels}`,
      name: `DID ${domain}`,
      points: `the ${levels}-level second-stage table at ${address(frame)}`,
      field: "DID",
      source: SAME_DOMAIN,
    });
  }

  /** 9.3: domain id 0 where CAP.CM reserves it. */
  domainZero(entry: Entry): void {
    if (this.#domainZeroReserved && entry.value("DID") === 0n)
      entry.complain(TABLE_RULES["reserved-domain-id"], "DID", "expected another, since CAP.CM is 1");
  }

  /** An address; `resolve` where it goes through a second stage. */
  leads(entry: Entry, field: string, frame: number, resolve?: (frame: number) => number): boolean {
    const { hostWidth } = this.walker.caps;
    const frames = resolve === undefined ? 2 ** (hostWidth - 12) : Number.POSITIVE_INFINITY;
    return entry.pointer(field, frame, frames, `${hostWidth} bits`, resolve);
  }

  /** The second stage of a device; null: none. */
  resolver(device: VtdDevice | null): ((frame: number) => number) | undefined {
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

export function kind<F extends string>(
  layout: Layout<F>,
  present: F,
  judge: (entry: Entry) => void,
  ids: IdKind = "device",
  span = 1,
): EntryKind {
  const read = layout.reader(present);
  return {
    layout,
    littleEndian: true,
    ids,
    span,
    entries: 1,
    updates: { unit: FETCH_BYTES },
    valid: (view, at) => read(view, at) !== 0,
    judge,
  };
}

export function illegal(entry: Entry, field: string, text: string, source?: string): void {
  entry.complain(TABLE_RULES["illegal-encoding"], field, text, source);
}

export function lacks(entry: Entry, field: string, capability: string): void {
  entry.complain(TABLE_RULES["unsupported-encoding"], field, `expected something else without ${capability}`);
}

export function conflict(entry: Entry, field: string, text: string, source: string): void {
  entry.complain(TABLE_RULES["conflicting-fields"], field, text, source);
}
