/**
 * Mistakes that a device under test can be told to make, so that whoever looks for mistakes can be tested. A bug changes
 * the world that the walker sees: what an entry reads as, or what it comes to once it is decoded, what a register says,
 * which fault is reported; and the walker itself only where it does things in another order, or leaves out a rule.
 */
import type { Fault } from "../fault.ts";
import type { Layout } from "../layout.ts";

/** What a structure reads as. */
export interface Misreading {
  readonly layout: Layout;
  /** Changes the structure's words in `view`, from byte 0. */
  change(view: DataView, littleEndian: boolean, level: number): void;
}

export interface Bug {
  /** Words joined by "-". */
  readonly name: string;
  /** What the device does, as a sentence without its subject: "ignores reserved bits of context entries". */
  readonly text: string;
  /** Document and section that it violates. */
  readonly source: string;
  readonly misreads?: readonly Misreading[];
  /** What is made of contexts whose entries break no rule; they are the vendor's own (walker.ts). */
  readonly contexts?: {
    device?(context: object): void;
    process?(context: object): void;
  };
  /** What a walker is made to do that entries, contexts and registers do not say; it is the vendor's own. Done once. */
  walker?(walker: object): void;
  /** Fields of registers that read as another value, by register. */
  readonly registers?: Readonly<Record<string, { readonly layout: Layout; readonly values: Values }>>;
  /** Faults that are reported as others, by name; null: the request passes as if nothing had translated it. */
  readonly reports?: Readonly<Record<string, Fault>>;
  /** Which translations its cache takes for one another: those of pages with one key. @param address of a request */
  cacheKey?(device: number, address: bigint): bigint;
  /** Checks that come last: what entries read as before them. They are made only where nothing else is wrong. */
  readonly late?: readonly Misreading[];
}

type Values = Readonly<Record<string, number>>;

/** Reads the fields of a structure as zeros that need one of some capabilities. */
export function withoutNeeding(layout: Layout, capabilities: readonly string[]): Misreading {
  const needing = layout.names().filter((name) => capabilities.includes(layout.fields[name]!.needs ?? ""));
  return misreading(layout, Object.fromEntries(needing.map((name) => [name, 0])));
}

/** Reads the reserved bits of a structure as zeros. */
export function withoutReserved(layout: Layout): Misreading {
  const words = layout.reserved();
  const masks = Array.from(
    { length: Math.ceil(layout.bytes / 8) },
    (_, i) => (BigInt(words[2 * i + 1] ?? 0) << 32n) | BigInt(words[2 * i]!),
  );
  return {
    layout,
    change(view, littleEndian) {
      if (layout.bytes < 8) return;
      masks.forEach((mask, i) => {
        view.setBigUint64(8 * i, view.getBigUint64(8 * i, littleEndian) & ~mask, littleEndian);
      });
    },
  };
}

/** Reads fields of a structure as other values. @param only at these levels of page tables */
export function misreading<F extends string>(
  layout: Layout<F>,
  values: Readonly<Partial<Record<F, number | ((value: bigint) => bigint)>>>,
  only?: readonly number[],
): Misreading {
  return {
    layout,
    change(view, littleEndian, level) {
      if (only !== undefined && !only.includes(level)) return;
      for (const [name, value] of Object.entries(values) as [F, number | ((v: bigint) => bigint)][]) {
        const read = layout.extract(name, view, 0, littleEndian);
        const shift =
          layout.fields[name].kind === "address" ? BigInt(layout.fields[name].parts[0]![1] % 64) : 0n;
        const seen = (typeof value === "number" ? BigInt(value) : value(read)) << shift;
        layout.encode({ [name]: seen } as Partial<Record<F, bigint>>, view, 0, littleEndian);
      }
    },
  };
}
