import { bytesSource } from "../../parsers/trace/source.ts";
import type { TableFinding } from "../../pipeline/findings/tables/linter.ts";
import { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { PropertyValue } from "../../walkers/registers.ts";
import type { PasidTableConfig } from "../../walkers/walker.ts";
import { lintTables } from "./lint-tables.ts";
import { TableMemory } from "./table-memory.ts";

export interface Setup {
  readonly model: IommuModel;
  readonly regs?: Readonly<Record<string, bigint>>;
  readonly props?: Readonly<Record<string, PropertyValue>>;
  /** Device 0x18 (00:03.0) is bound. */
  readonly bind?: Omit<PasidTableConfig, "baseHi" | "baseLo"> & { readonly base: bigint };
  /** 64-bit words by address; each address's page exists as a whole. */
  readonly memory: Readonly<Record<string, readonly bigint[]>>;
}

/** An IOMMU over tables that are written as raw words. */
export function machineOf(setup: Setup): { readonly unit: IommuUnit; readonly memory: TableMemory } {
  const memory = new TableMemory();
  for (const [address, words] of Object.entries(setup.memory)) {
    memory.ram(BigInt(address), 1n);
    words.forEach((word, i) => {
      memory.write64(BigInt(address) + 8n * BigInt(i), word);
    });
  }
  const unit = new IommuUnit("iommu0", setup.model, memory);
  unit.configure(
    Object.entries(setup.regs ?? {}).map(([name, value]) => [name, halves(value)]),
    Object.entries(setup.props ?? {}),
  );
  if (setup.bind !== undefined) {
    const { base, ...rest } = setup.bind;
    const { hi, lo } = halves(base);
    const problem = unit.bind(0x18, { ...rest, baseHi: hi, baseLo: lo });
    if (problem !== undefined) throw new Error(problem);
  }
  return { unit, memory };
}

export function lint(setup: Setup): TableFinding[] {
  const { unit, memory } = machineOf(setup);
  return lintTables(unit, memory);
}

function halves(value: bigint): { readonly hi: number; readonly lo: number } {
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
}

/** A `finding` record of a replay. */
export type Finding = Record<string, unknown> & { readonly line: number; readonly rule: string };

/** Findings of a replay of records, in order; the first record is line 1. */
export async function findingsOf(records: readonly object[]): Promise<Finding[]> {
  const chunks: Buffer[] = [];
  const source = bytesSource(Buffer.from(records.map((r) => `${JSON.stringify(r)}\n`).join("")));
  await replayTrace(source, { write: (bytes) => void chunks.push(Buffer.from(bytes)) }, { stats: false });
  return Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
    .filter((record) => record.type === "finding");
}

/** A `mem` record of 64-bit words, little-endian. */
export function mem(address: bigint, ...words: bigint[]): object {
  const data = Buffer.alloc(words.length * 8);
  words.forEach((word, i) => void data.writeBigUInt64LE(word, i * 8));
  return { type: "mem", addr: `0x${address.toString(16)}`, data: data.toString("hex") };
}
