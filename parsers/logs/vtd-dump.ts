import {
  ContextEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  ScalableContextEntry,
  TT_PASS_THROUGH,
} from "../../walkers/vtd/structures.ts";
import type { VtdDumpLine } from "./linux-vtd-dump.ts";

/** Words of a PASID table entry. */
const PASID_WORDS = 8;
/** VT-d 5.10, 9.2: devices from 16 on have the upper half of the root entry. */
export const UPPER_HALF = 0x80;

/**
 * The entries that one request's walk passes, as a kernel printed them. An entry that is not there was not printed: the
 * walk ended before, or lines are missing.
 */
export class VtdDump {
  readonly iommu: string;
  readonly addr: bigint;
  scalable = false;
  root: readonly [lo: bigint, hi: bigint] | undefined;
  context: readonly [lo: bigint, hi: bigint] | undefined;
  directory: bigint | undefined;
  /** The words that were printed, in order. */
  readonly pasidEntry: bigint[] = [];
  /** Paging entries from the top down. */
  readonly entries: { readonly level: number; readonly value: bigint }[] = [];
  /** Level of an entry that is not present, or maps a large page: the kernel does not show it. */
  hidden: number | undefined;
  /** Nothing more comes. */
  closed = false;

  constructor(iommu: string, addr: bigint) {
    this.iommu = iommu;
    this.addr = addr;
  }

  /** Whether a line is the next of this dump. */
  expects(line: VtdDumpLine): boolean {
    switch (line.kind) {
      case "dump-root":
        return this.root === undefined;
      case "dump-context":
        return this.root !== undefined && this.context === undefined;
      case "dump-directory":
        return this.scalable && this.context !== undefined && this.directory === undefined;
      case "dump-pasid":
        return (
          this.directory !== undefined && line.index === this.pasidEntry.length && this.entries.length === 0
        );
      case "dump-entry":
      case "dump-hidden":
        return this.#expectsLevel(line.level);
      case "dump-end":
        return this.root !== undefined || /^root/.test(line.absent);
      default:
        return false;
    }
  }

  #expectsLevel(level: number): boolean {
    const last = this.entries.at(-1);
    if (last !== undefined) return level === last.level - 1 && this.#isPresent(last.value);
    return this.scalable ? this.pasidEntry.length === PASID_WORDS : this.context !== undefined;
  }

  /** Takes a line that it expects. */
  take(line: VtdDumpLine): void {
    switch (line.kind) {
      case "dump-root":
        this.scalable = line.scalable;
        this.root = [line.lo, line.hi ?? 0n];
        break;
      case "dump-context":
        this.context = [line.lo, line.hi];
        break;
      case "dump-directory":
        this.directory = line.value;
        break;
      case "dump-pasid":
        this.pasidEntry.push(line.value);
        break;
      case "dump-entry":
        this.entries.push({ level: line.level, value: line.value });
        this.closed = this.isLeaf(line.level, line.value);
        break;
      case "dump-hidden":
        this.hidden = line.level;
        this.closed = true;
        break;
      case "dump-end":
        this.closed = true;
        break;
    }
  }

  /** A translation type of the PASID table entry, 0 in legacy mode and where it was not printed. */
  get pgtt(): number {
    return this.pasidEntry.length === 0 ? 0 : pgttOf(view(this.pasidEntry, PASID_WORDS), 0);
  }

  get firstStage(): boolean {
    return this.pgtt === PGTT_FIRST_STAGE;
  }

  /** Whether a paging entry of this level maps a page. */
  isLeaf(level: number, value: bigint): boolean {
    return level === 1 || (this.#isPresent(value) && (value & PAGE_SIZE) !== 0n);
  }

  #isPresent(value: bigint): boolean {
    return (value & (this.firstStage ? PRESENT : READ_WRITE)) !== 0n;
  }

  /**
   * Why the entries do not determine what the request's walk finds: undefined where they do.
   * @param devfn device and function
   * @param pasid of the request, undefined where it had none
   * @param code the fault reason
   */
  gap(devfn: number, pasid: number | undefined, code: number | undefined): string | undefined {
    const { root, context } = this;
    if (root === undefined) return "no root entry was printed";
    const half = this.scalable && devfn >= UPPER_HALF ? root[1] : root[0];
    if ((half & PRESENT) === 0n) return undefined;
    if (context === undefined) return "no context entry was printed";
    if ((context[0] & PRESENT) === 0n) return undefined;
    if (this.scalable) return this.#pasidGap(context, pasid, code);
    return typeOf(view(context, 2), 0) === TT_PASS_THROUGH ? undefined : this.#pageGap(code);
  }

  #pasidGap(
    context: readonly [bigint, bigint],
    pasid: number | undefined,
    code: number | undefined,
  ): string | undefined {
    const ridPasid = ridPasidOf(view(context, CONTEXT_WORDS), 0);
    // The kernel prints PASID 0's entries for a request without PASID.
    if (pasid === undefined && ridPasid !== 0)
      return `RID_PASID is ${ridPasid}, and the kernel prints the entries of PASID 0`;
    if (this.directory === undefined) return "no PASID directory entry was printed";
    if ((this.directory & PRESENT) === 0n) return undefined;
    if (this.pasidEntry.length < PASID_WORDS) return "the PASID table entry was not printed whole";
    if ((this.pasidEntry[0]! & PRESENT) === 0n || this.pgtt === PGTT_PASS_THROUGH) return undefined;
    if (this.pgtt === PGTT_NESTED) return "of a nested translation the kernel prints one stage only";
    return this.#pageGap(code);
  }

  #pageGap(code: number | undefined): string | undefined {
    const last = this.entries.at(-1);
    // What is hidden is not present, or maps a large page: the fault says which, if it is one of entries not present.
    if (this.hidden !== undefined)
      return code !== undefined && NOT_PRESENT.includes(code)
        ? undefined
        : `the page-table entry of level ${this.hidden} is not shown`;
    if (last === undefined) return "no page-table entry was printed";
    return !this.#isPresent(last.value) || this.isLeaf(last.level, last.value)
      ? undefined
      : `the page-table entry of level ${last.level - 1} was not printed`;
  }
}

/** Faults that a walk ends in at an entry that is not present (VT-d 5.10, 7.1.3). */
const NOT_PRESENT = [0x5, 0x6, 0x71, 0x79];

const PRESENT = 1n;
const READ_WRITE = 3n;
/** PS: the entry maps a large page. */
const PAGE_SIZE = 1n << 7n;
const CONTEXT_WORDS = 4;

const typeOf = ContextEntry.reader("TT");
const pgttOf = PasidEntry.reader("PGTT");
const ridPasidOf = ScalableContextEntry.reader("RID_PASID");

function view(words: readonly bigint[], count: number): DataView {
  const out = new DataView(new ArrayBuffer(count * 8));
  words.slice(0, count).forEach((word, i) => {
    out.setBigUint64(i * 8, word, true);
  });
  return out;
}
