/** What traces of many records of a kind are made of: records as text, and VT-d tables that map everything somewhere. */

/** IOMMUs that a trace may have. */
export const MOST_IOMMUS = 4096;
/** Devices of one segment. */
export const DEVICES = 65_536;

export type Lines = Iterable<string>;
/** Traces by kind: of about `n` records, and with a snapshot's path. */
export type Kinds = Readonly<Record<string, (n: number, snapshot: string) => Lines>>;

export const hex = (value: number) => `0x${value.toString(16)}`;
export const words = (...values: readonly number[]) => {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i);
  });
  return bytes.toString("hex");
};
export const mem = (addr: number, data: string) => `{"type":"mem","addr":"${hex(addr)}","data":"${data}"}`;
export const repeated = <T>(n: number, of: (i: number) => T) => Array.from({ length: n }, (_, i) => of(i));
export const bdf = (i: number) =>
  `${((i >> 8) & 255).toString(16).padStart(2, "0")}:${((i >> 3) & 31).toString(16).padStart(2, "0")}.${i & 7}`;

export const IOMMU =
  '{"type":"iommu","id":"d","model":"intel","regs":{"rtaddr":"0x1000000","cap":"0x1d2008c222f0606","ecap":"0xf00f4a","gsts":"0xc0000000"}}';
export const RAM = '{"type":"ram","addr":"0x0","size":"0x800000000"}';

/** VT-d legacy mode: every device has domain 1, and four levels of tables that map everything somewhere. */
export function* tables(): Lines {
  yield IOMMU;
  yield RAM;
  yield mem(0x100_0000, words(...repeated(256, () => [0x100_1001, 0]).flat()));
  yield mem(0x100_1000, words(...repeated(256, () => [0x100_2001, 0x102]).flat()));
  for (const [at, next] of [
    [0x100_2000, 0x100_3003],
    [0x100_3000, 0x100_4003],
    [0x100_4000, 0x100_5003],
  ] as const)
    yield mem(at, words(...repeated(512, () => next)));
  yield mem(0x100_5000, words(...repeated(512, (i) => 0x1_0000_0000 + i * 4096 + 3)));
}

export const dma = (more: string) => `{"type":"dma","iommu":"d",${more}}`;

export const cmd = (...data: readonly number[]) =>
  `{"type":"cmd","iommu":"d","data":[${data.map((word) => `"${hex(word)}"`).join()}]}`;

/** As `tables`, of an IOMMU whose walks are not coherent. */
export function* unflushedTables(): Lines {
  for (const line of tables()) yield line.replace("0xf00f4a", "0xf00f40");
}

/** Every device has its own context entry and domain, as many as there are; each is used once. */
export function* manyDomains(n: number): Lines {
  yield* tables();
  const many = Math.min(n, DEVICES);
  // A second root table that leads to the same contexts.
  yield mem(0x210_8000, words(...repeated(256, (bus) => [0x200_0001 + bus * 4096, 0]).flat()));
  for (let bus = 0; bus < 256; bus++) {
    yield mem(0x100_0000 + bus * 16, words(0x200_0001 + bus * 4096, 0));
    const entry = (i: number) => [0x100_2001, (((bus * 256 + i) % 65_535) + 1) * 256 + 2];
    yield mem(0x200_0000 + bus * 4096, words(...repeated(256, entry).flat()));
  }
  for (let i = 0; i < many; i++) yield dma(`"dev":"${bdf(i)}","addr":"0x0"`);
}

/** As many PASIDs of a bound device as there may be; each is used once. */
export function* manyPasids(n: number): Lines {
  // With all that is modelled: PASIDs among it.
  yield '{"type":"iommu","id":"d","model":"intel","regs":{"gsts":"0xc0000000"}}';
  yield RAM;
  for (let i = 0; i < 32; i++) yield mem(0x10_0000 + i * 4096, words(...repeated(512, () => 0x20_0001)));
  yield mem(0x20_0000, words(...repeated(64, () => [0x41, 1, 0x30_0000, 0, 0, 0, 0, 0]).flat()));
  for (const at of [0x30_0000, 0x30_1000, 0x30_2000]) yield mem(at, words(at + 0x1027));
  yield mem(0x30_3008, words(0x500_0067));
  yield '{"type":"bind","iommu":"d","dev":"00:03.0","config":{"model":"intel","base_ptr":"0x100000","pasid_bits":20}}';
  for (let i = 0; i < n; i++) yield dma(`"dev":"00:03.0","pasid":${i % 2 ** 20},"addr":"0x1000"`);
}
