import { bytesSource } from "../../parsers/trace/source.ts";
import { type DiffOptions, type DiffResult, diffStreams } from "../../pipeline/diff/diff.ts";
import type { DiffRecord } from "../../pipeline/diff/difference.ts";

/** One request of a test's stream and what it was answered. */
export interface Item {
  /** Makes the address: two items with the same number ask for the same. */
  readonly id: number;
  readonly pa?: number;
  readonly seq?: number;
}

function dmaLine({ id, pa = id, seq }: Item): string {
  const number = seq === undefined ? "" : `"seq":${seq},`;
  return `{"type":"dma",${number}"dev":"00:03.0","pasid":5,"addr":"0x${(id * 4096).toString(16)}","len":64,"observed":{"result":"ok","pa":"0x${(pa * 4096).toString(16)}"}}`;
}

export function lines(items: readonly Item[]): string {
  return items.map((item) => `${dmaLine(item)}\n`).join("");
}

export interface Compared {
  readonly result: DiffResult;
  /** `diff` and `error` records. */
  readonly records: readonly DiffRecord[];
}

/** Compares two texts. `step`: most bytes that one read gives. */
export async function compare(
  a: string,
  b: string,
  options: Partial<DiffOptions> & { readonly step?: number } = {},
): Promise<Compared> {
  const { step, ...rest } = options;
  let out = "";
  const write = (bytes: Buffer) => {
    out += bytes.toString("utf8");
  };
  const result = await diffStreams(
    bytesSource(Buffer.from(a), step),
    bytesSource(Buffer.from(b), step),
    { write },
    rest,
  );
  const records = out.split("\n").filter((line) => line !== "");
  return { result, records: records.map((line) => JSON.parse(line)) };
}

/** How many differences of each class there are, as "changed deleted inserted request". */
export function classes({ result }: Compared): Readonly<Record<string, number>> {
  return result.counts.classCounts();
}
