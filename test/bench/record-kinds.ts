/** Traces of which each has many records of one kind, or of two that may get into each other's way. */

/** IOMMUs that a trace may have. */
const MOST_IOMMUS = 4096;
/** Devices of one segment. */
const DEVICES = 65_536;

export type Lines = Iterable<string>;

const hex = (value: number) => `0x${value.toString(16)}`;
const words = (...values: readonly number[]) => {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i);
  });
  return bytes.toString("hex");
};
const mem = (addr: number, data: string) => `{"type":"mem","addr":"${hex(addr)}","data":"${data}"}`;
const repeated = <T>(n: number, of: (i: number) => T) => Array.from({ length: n }, (_, i) => of(i));
const bdf = (i: number) =>
  `${((i >> 8) & 255).toString(16).padStart(2, "0")}:${((i >> 3) & 31).toString(16).padStart(2, "0")}.${i & 7}`;

const IOMMU =
  '{"type":"iommu","id":"d","model":"intel","regs":{"rtaddr":"0x1000000","cap":"0x1d2008c222f0606","ecap":"0xf00f4a","gsts":"0xc0000000"}}';
const RAM = '{"type":"ram","addr":"0x0","size":"0x800000000"}';

/** VT-d legacy mode: every device has domain 1, and four levels of tables that map everything somewhere. */
function* tables(): Lines {
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

const dma = (more: string) => `{"type":"dma","iommu":"d",${more}}`;

const cmd = (...data: readonly number[]) =>
  `{"type":"cmd","iommu":"d","data":[${data.map((word) => `"${hex(word)}"`).join()}]}`;

/** As `tables`, of an IOMMU whose walks are not coherent. */
function* unflushedTables(): Lines {
  for (const line of tables()) yield line.replace("0xf00f4a", "0xf00f40");
}

/** Every device has its own context entry and domain, as many as there are; each is used once. */
function* manyDomains(n: number): Lines {
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

export const KINDS: Readonly<Record<string, (n: number, snapshot: string) => Lines>> = {
  *devices(n) {
    yield '{"type":"iommu","id":"d","model":"arm-smmuv3","regs":{"cr0":"0x0"}}';
    for (let i = 0; i < n; i++) yield dma(`"dev":"sid:${i}","addr":"0x0"`);
  },
  *pasids(n) {
    yield IOMMU;
    yield RAM;
    for (let i = 0; i < 32; i++) yield mem(0x10_0000 + i * 4096, words(...repeated(512, () => 0x20_0001)));
    yield mem(0x20_0000, words(...repeated(64, () => [0x41, 1, 0x30_0000, 0, 0, 0, 0, 0]).flat()));
    for (const at of [0x30_0000, 0x30_1000, 0x30_2000]) yield mem(at, words(at + 0x1027));
    yield mem(0x30_3008, words(0x500_0067));
    yield '{"type":"bind","iommu":"d","dev":"00:03.0","config":{"model":"intel","base_ptr":"0x100000","pasid_bits":20}}';
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:03.0","pasid":${i % 2 ** 20},"addr":"0x1000"`);
  },
  *iommus(n) {
    for (let i = 0; i < Math.min(n, MOST_IOMMUS); i++)
      yield `{"type":"iommu","id":"i${i}","model":"intel","regs":{"gsts":"0x0"}}`;
    for (let i = 0; i < n; i++)
      yield `{"type":"dma","iommu":"i${i % MOST_IOMMUS}","dev":"00:03.0","addr":"0x0"}`;
  },
  *binds(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++)
      yield `{"type":"bind","iommu":"d","dev":"sid:${i % 65_536}","config":{"model":"intel","base_ptr":"0x100000"}}`;
  },
  *pages(n) {
    yield* tables();
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
  },
  *invalidations(n) {
    yield* tables();
    for (let i = 0; i < n; i++) {
      yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","domain":1,"addr":"${hex(2 ** 47 + i * 4096)}","size":"0x10000000"}`;
    }
  },
  *faults(n) {
    yield* tables();
    for (let i = 0; i < n; i++)
      yield `{"type":"fault","iommu":"d","dev":"${bdf(i)}","addr":"${hex(i * 4096)}","seq":${i}}`;
  },
  *changes(n) {
    yield* tables();
    for (let i = 0; i < n; i++) {
      yield mem(0x100_5008, words(0x1_0000_0000 + (i % 512) * 4096 + 3));
      yield dma('"dev":"00:00.0","addr":"0x1000"');
    }
  },
  *segments(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield `{"type":"ram","addr":"${hex(((i * 7919) % n) * 0x40)}","size":"0x20"}`;
    yield dma('"dev":"00:00.0","addr":"0x0"');
  },
  *memory(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield mem(i * 8, words(i));
  },
  *marks(n) {
    for (let i = 0; i < n; i++) yield `{"type":"mark","label":"${i}"}`;
  },
  *snapshots(n, snapshot) {
    yield IOMMU;
    for (let i = 0; i < n / 10; i++) yield `{"type":"snapshot","path":"${snapshot}","format":"raw"}`;
  },
  *roots(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 4; i++) {
      yield `{"type":"reg","iommu":"d","name":"rtaddr","value":"${hex(i % 2 === 0 ? 0x210_8000 : 0x100_0000)}"}`;
      yield dma(`"dev":"${bdf(i % DEVICES)}","addr":"0x0"`);
    }
  },
  *registers(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 2; i++) yield `{"type":"reg","iommu":"d","name":"ndat","value":"${hex(i)}"}`;
  },
  *everything(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 4; i++) {
      yield '{"type":"inv","iommu":"d","cache":"all","granularity":"global"}';
      yield dma(`"dev":"${bdf(i % DEVICES)}","addr":"0x0"`);
    }
  },
  *contextFlushes(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 2; i++) yield cmd(0x11, 0);
  },
  *pageFlushes(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 2; i++) yield cmd(0x32 + (((i % DEVICES) + 1) << 16) * 1, i * 4096);
  },
  *pending(n) {
    yield* tables();
    yield cmd(0x25, 0);
    for (let i = 0; i < n / 2; i++) {
      yield cmd(0x1_0032, i * 4096);
      yield dma(`"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}"`);
    }
  },
  *pendingChanges(n) {
    yield* tables();
    yield cmd(0x25, 0);
    for (let i = 0; i < n / 3; i++) {
      yield mem(0x100_5000 + (i % 512) * 8, words(0x1_0000_0000 + i * 4096 + 3));
      yield cmd(0x1_0032, ((i * 7) % 512) * 4096);
      yield dma(`"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}"`);
    }
  },
  *contexts(n) {
    yield* tables();
    for (let i = 0; i < n / 2; i++) {
      yield mem(0x100_1008, words(((i % 60_000) + 1) * 256 + 2));
      yield dma('"dev":"00:00.0","addr":"0x1000"');
    }
  },
  *leftTranslations(n) {
    yield* tables();
    for (let i = 0; i < n / 3; i++) {
      yield mem(0x100_1008, words(((i % 60_000) + 1) * 256 + 2));
      yield cmd(0x11, 0);
      yield dma(`"dev":"00:00.0","addr":"0x1000"`);
    }
  },
  *used(n) {
    yield IOMMU;
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"bind","iommu":"d","dev":"00:03.0","config":{"model":"intel","base_ptr":"${hex(0x10_0000 + i * 4096)}"}}`;
      yield dma('"dev":"00:03.0","pasid":1,"addr":"0x0"');
    }
  },
  *maps(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++)
      yield `{"type":"map","dev":"00:03.0","addr":"${hex(((i * 7919) % n) * 4096)}","size":"0x1000","pa":"0x0"}`;
    yield '{"type":"fault","iommu":"d","dev":"00:03.0","addr":"0x5000"}';
  },
  *overlappingMaps(n) {
    yield IOMMU;
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"map","dev":"00:03.0","addr":"${hex(i * 4096)}","size":"${hex((n - i) * 8192)}"}`;
      yield `{"type":"unmap","dev":"00:03.0","addr":"${hex(i * 4096)}","size":"${hex(n * 4096)}"}`;
    }
  },
  *mappedFaults(n) {
    yield IOMMU;
    yield RAM;
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"map","dev":"00:03.0","addr":"${hex(i * 4096)}","size":"${hex(n * 4096)}"}`;
      yield dma(`"dev":"00:03.0","addr":"${hex(i * 4096)}"`);
    }
  },
  *flushes(n) {
    yield IOMMU.replace("0xf00f4a", "0xf00f40");
    yield RAM;
    for (let i = 0; i < n / 2; i++) {
      yield mem(0x100_0000 + i * 64, words(i + 1));
      yield `{"type":"flush","addr":"${hex(0x100_0000 + ((i * 7919) % n) * 64)}"}`;
    }
  },
  *unflushed(n) {
    yield* unflushedTables();
    for (let i = 0; i < n / 2; i++) {
      yield mem(0x100_5000 + (i % 512) * 8, words(0x1_0000_0000 + i * 4096 + 3));
      yield dma(`"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}","observed":{"result":"ok","pa":"0x1"}`);
    }
  },
  *declarations(n) {
    for (let i = 0; i < n; i++)
      yield `{"type":"iommu","id":"d","model":"intel","regs":{"rtaddr":"${hex(i * 4096)}"},"props":{"output_bits":${40 + (i % 8)}}}`;
  },
  *losses(n) {
    for (let i = 0; i < n; i++) yield `{"type":"loss","what":"w${i}","severity":"warning","message":"m${i}"}`;
  },
  *names(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:03.0","addr":"0x0","pasis${i}":0`);
  },
  *errors(n) {
    for (let i = 0; i < n; i++) yield `{"type":"dma","dev":"00:03.0","addr":${i}}`;
  },
  *mismatches(n) {
    yield* tables();
    for (let i = 0; i < n / 2; i++) {
      yield mem(0x100_5000 + (i % 512) * 8, words(0x1_0000_0000 + (i % 1000) * 4096 + 3));
      yield dma(
        `"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}","observed":{"result":"ok","pa":"${hex(i * 4096)}"}`,
      );
    }
  },
  *reuse(n) {
    yield* tables();
    for (let i = 0; i < n / 3; i++) {
      yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
      yield mem(0x100_5000 + (i % 512) * 8, words(0));
      yield mem(0x100_5000 + (i % 512) * 8, words(0x1_0000_0000 + ((i * 31) % 512) * 4096 + 3));
    }
  },
  *long(n) {
    yield* tables();
    yield dma(`"dev":"00:00.0","addr":"0x0","len":${n * 4096 - 1}`);
  },
  *passing(n) {
    yield '{"type":"iommu","id":"d","model":"intel","regs":{"gsts":"0x0"}}';
    yield dma(`"dev":"00:00.0","addr":"0x0","len":${n * 4096 - 1}`);
  },
};
