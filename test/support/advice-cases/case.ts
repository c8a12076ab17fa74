/**
 * Changes that go without their invalidation, and the command that each is owed. A vendor says how its tables are set up;
 * what changes in them is the same for all.
 */
import { type Dma, type Format, Radix, type Scenario } from "../cache-scenario.ts";

export const A = 0x1000_0000n;
/** Shares no table entry with A but the root's. */
export const X = 0x4000_5000_0000n;
export const OLD = 0x8000_0000n;
export const NEW = 0x9000_0000n;
const LARGE = 0xc000_0000n;

/** One change: which request notices it, and what the finding asks for. */
export interface Case {
  readonly s: Scenario;
  readonly request: Dma;
  /** Other requests that the change concerns as much. */
  readonly others?: readonly Dma[];
  change(): void;
  /** The command, or those that are owed one after the other. */
  readonly expected: string | readonly string[];
}

export type Cases = Readonly<Record<string, () => Case>>;

interface Setup {
  readonly s: Scenario;
  /** What all requests have in common. */
  readonly dma: Omit<Dma, "addr">;
}

/** An IOMMU and the page table of one stage. */
export interface OneStage extends Setup {
  readonly table: Radix;
}

/** An IOMMU and the page tables of both stages, where it uses both. */
export interface TwoStages extends Setup {
  readonly first: Radix;
  readonly second: Radix;
}

export function ofFirst<T extends TwoStages>(make: () => T): () => T & OneStage {
  return () => {
    const setup = make();
    return { ...setup, table: setup.first };
  };
}

export function ofSecond<T extends TwoStages>(make: () => T): () => T & OneStage {
  return () => {
    const setup = make();
    return { ...setup, table: setup.second };
  };
}

export function prefixed(name: string, cases: Cases): Cases {
  return Object.fromEntries(Object.entries(cases).map(([key, make]) => [`${name}: ${key}`, make]));
}

/** @param tag bits that the request's address has and the page's has not */
export function pageCase(make: () => OneStage, expected: string, tag = 0n): () => Case {
  return () => {
    const { s, table, dma } = make();
    table.map(A, OLD);
    return { s, request: { ...dma, addr: A | tag }, change: () => table.map(A, NEW), expected };
  };
}

/** A page, a large page and a whole table that change. */
export function tableCases(
  make: () => OneStage,
  expected: { readonly page: string; readonly large: string; readonly table: string },
): Cases {
  return {
    "a page": pageCase(make, expected.page),
    "a large page": () => {
      const { s, table, dma } = make();
      table.map(A, LARGE, 2);
      return {
        s,
        request: { ...dma, addr: A + 0x1_3000n },
        others: [{ ...dma, addr: A + 0x15_7000n }],
        change: () => table.map(A, LARGE + 0x20_0000n, 2),
        expected: expected.large,
      };
    },
    "a table": () => {
      const { s, table, dma } = make();
      const neighbour = A + 0x7000n;
      table.map(A, OLD).map(neighbour, OLD + 0x1000n);
      const fresh = s.allocate();
      return {
        s,
        request: { ...dma, addr: A },
        others: [{ ...dma, addr: neighbour }],
        change: () => table.replaceTable(A, 2, fresh),
        expected: expected.table,
      };
    },
  };
}

/** Second-stage tables that lead everything below 4 GiB to itself. */
function identity(table: Radix, except: readonly bigint[] = []): void {
  for (let gib = 0n; gib < 4n; gib++) if (!except.includes(gib)) table.map(gib << 30n, gib << 30n, 3);
}

/** A page of either stage, below nested translation. */
export function nestedCases(
  make: () => TwoStages,
  names: { readonly first: string; readonly second: string },
  expected: { readonly first: string; readonly second: string },
): Cases {
  const first = () => {
    const setup = make();
    identity(setup.second);
    return setup;
  };
  return prefixed("nested", {
    [`a page of ${names.first}`]: pageCase(ofFirst(first), expected.first),
    [`a page of ${names.second}`]: () => {
      const { s, first, second, dma } = make();
      identity(second, [OLD >> 30n]);
      second.map(OLD, OLD);
      first.map(A, OLD);
      return {
        s,
        request: { ...dma, addr: A },
        change: () => second.map(OLD, NEW),
        expected: expected.second,
      };
    },
  });
}

/**
 * An entry above the page table that comes to lead to another one.
 * @param addr what the other table maps, and the first one does not
 */
export function entryCase<T extends OneStage>(
  make: () => T,
  format: Format,
  lead: (setup: T, to: Radix) => void,
  expected: string,
  addr = X,
): () => Case {
  return () => {
    const setup = make();
    setup.table.map(A, OLD);
    const other = new Radix(setup.s, format).map(addr, NEW);
    return {
      s: setup.s,
      request: { ...setup.dma, addr },
      change: () => lead(setup, other),
      expected,
    };
  };
}
