/** How a vendor declares its commands; command.ts drives the declarations. */

import { ACCEPTED, type Invalidation, REJECTED, RESERVED_BITS, UNPREDICTABLE } from "../invalidation.ts";
import { bitRange, type Layout, type Reader } from "../layout.ts";
import type { IommuState } from "../registers.ts";

/** What is wrong with a command. */
export interface CommandProblem {
  /** The field's name in the layout; "" for the command as a whole. */
  readonly field: string;
  /** "63:12"; "" for the command as a whole. */
  readonly bits: string;
  /** What was expected and what was found. */
  readonly message: string;
  /** Document and section. */
  readonly source: string;
  /**
   * `illegal`: the IOMMU refuses the command. `reserved`: it is free to refuse it or to ignore the bits.
   * `unpredictable`: it accepts the command, and what that covers is not defined.
   */
  readonly kind: "illegal" | "reserved" | "unpredictable";
}

const STATUS = { illegal: REJECTED, reserved: RESERVED_BITS, unpredictable: UNPREDICTABLE } as const;

/** Collects what is wrong with one command: always the worst kind, the sentences only where somebody wants them. */
export class Problems {
  status = ACCEPTED;
  readonly #list: CommandProblem[] | null;
  #layout: Layout | null = null;

  constructor(list: CommandProblem[] | null = null) {
    this.#list = list;
  }

  begin(layout: Layout | null): void {
    this.status = ACCEPTED;
    this.#layout = layout;
  }

  /** @param field name in the command's layout, or "" */
  add(kind: CommandProblem["kind"], field: string, message: string, source: string): void {
    this.status = Math.max(this.status, STATUS[kind]);
    if (this.#list === null) return;
    const declared = this.#layout?.fields[field];
    this.#list.push({ field, bits: declared ? bitRange(declared) : "", message, source, kind });
  }

  illegal(field: string, message: string, source: string): void {
    this.add("illegal", field, message, source);
  }

  unpredictable(field: string, message: string, source: string): void {
    this.add("unpredictable", field, message, source);
  }

  /** Bits that no field of the layout has, as a range. */
  reserved(kind: CommandProblem["kind"], range: string, found: string, source: string): void {
    this.status = Math.max(this.status, STATUS[kind]);
    this.#list?.push({
      field: "",
      bits: range,
      message: `expected reserved bits to be zero, found ${found}`,
      source,
      kind,
    });
  }
}

/** What a command makes certain, in words: a row of the documentation. */
export interface CoverageText {
  readonly covers: string;
  readonly doesNotCover: string;
}

/**
 * One command. `view` holds its words, little-endian, from byte 0.
 * @typeParam C what the vendor's rules need to know of the IOMMU
 */
export interface CommandSpec<C = unknown> {
  /** As the specification spells it. */
  readonly name: string;
  readonly layout: Layout;
  /** Document and section, where several commands share a layout; default: the layout's. */
  readonly source?: string;
  /** Fields that tell it from all others, with their values; `encode` fills them in. */
  readonly fixed: Readonly<Record<string, number>>;
  readonly coverage: CoverageText;
  /** The commands before it are complete when it is. */
  readonly completion?: boolean;

  /** Words that `encode` writes; default: the shortest the vendor has. */
  readonly words?: number;
  /** Reports what the specification refuses in the operands; reserved bits are checked for it. */
  check?(view: DataView, caps: C, problems: Problems): void;
  /**
   * Fills `out`, which comes reset with no caches.
   * @returns false where this command invalidates nothing that translates
   */
  invalidate?(view: DataView, caps: C, out: Invalidation): boolean;
  /** The operands in the vendor's own syntax, after the name. */
  operands?(view: DataView): string;
}

/** All commands of one vendor. */
export interface CommandSet<C = unknown> {
  readonly specs: readonly CommandSpec<C>[];
  /** Numbers of 64-bit words that a command may have. */
  readonly wordCounts: readonly number[];
  /** Where the specification says what becomes of reserved bits, and what that is. */
  readonly reserved: { readonly kind: CommandProblem["kind"]; readonly source: string };
  /** Between name and operands, in a printed command. */
  readonly separator: string;
  opcode(view: DataView): number;
  find(view: DataView): CommandSpec<C> | null;
  /** Why `find` found nothing. */
  unknown(view: DataView, problems: Problems): void;
  /** What is known of the IOMMU; what is not, refuses nothing. */
  capabilities(state: IommuState): C;
  /** Whether a capability that a field `needs` is present. */
  has(caps: C, capability: string): boolean;
  /** Checks that concern every command. */
  checkAll?(view: DataView, words: number, caps: C, problems: Problems): void;
}

/** Readers of the fields of a layout, by name. */
export function readers<F extends string, N extends F>(
  layout: Layout<F>,
  names: readonly N[],
): { readonly [K in N]: Reader } {
  return Object.fromEntries(names.map((name) => [name, layout.reader(name)])) as { [K in N]: Reader };
}
