/** Traces of many requests, changes and invalidations: what one of these kinds leaves in the model of caches, the other finds. */
import {
  bdf,
  cmd,
  DEVICES,
  dma,
  hex,
  IOMMU,
  type Kinds,
  type Lines,
  MOST_IOMMUS,
  manyDomains,
  manyPasids,
  mem,
  RAM,
  repeated,
  tables,
  unflushedTables,
  words,
} from "./bulk-records.ts";

export const CACHE_KINDS = {
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
  *changes(n) {
    yield* tables();
    for (let i = 0; i < n; i++) {
      yield mem(0x100_5008, words(0x1_0000_0000 + (i % 512) * 4096 + 3));
      yield dma('"dev":"00:00.0","addr":"0x1000"');
    }
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
  *everyIommu(n) {
    const many = Math.min(n / 4, MOST_IOMMUS);
    for (let i = 1; i < many; i++) yield IOMMU.replace('"d"', `"i${i}"`);
    yield* tables();
    for (let i = 1; i < many; i++) yield `{"type":"dma","iommu":"i${i}","dev":"00:00.0","addr":"0x0"}`;
    for (let i = 0; i < n / 2; i++) yield '{"type":"inv","cache":"iotlb","granularity":"global"}';
  },
  *undecidedIommus(n) {
    const many = Math.min(n / 8, MOST_IOMMUS);
    for (let i = 1; i < many; i++) yield IOMMU.replace('"d"', `"i${i}"`);
    yield* tables();
    const each = function* (request: string): Lines {
      for (let i = 1; i < many; i++) yield `{"type":"dma","iommu":"i${i}","dev":"00:00.0",${request}}`;
    };
    yield* each('"addr":"0x1000"');
    yield mem(0x100_5008, words(0x2_0000_0003));
    for (let i = 1; i < many; i++) yield cmd(0x1_0032, 0x1000).replace('"d"', `"i${i}"`);
    for (let i = 0; i < (n - 3 * many) / many; i++)
      yield* each('"addr":"0x1000","observed":{"result":"ok","pa":"0x100001000"}');
  },
  *wideRanges(n) {
    yield* tables();
    for (let i = 0; i < n / 2; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","domain":1,"addr":"${hex(i * 4096)}","size":"0x1001000"}`;
  },
  *fewRanges(n) {
    yield* tables();
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
    for (let i = 0; i < 1000; i++)
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","domain":1,"addr":"${hex(2 ** 40 + i * 2 ** 30)}","size":"0x2000000"}`;
  },
  *pagesOfTags(n) {
    yield* manyPasids(n / 2);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","addr":"${hex(i * 4096)}"}`;
  },
  *rangesOfTags(n) {
    yield* manyPasids(n / 2);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","addr":"${hex(i * 4096)}","size":"0x2000000"}`;
  },
  *pasidFlushes(n) {
    yield* manyPasids(n / 2);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"all","granularity":"pasid","pasid":${i % 2 ** 20}}`;
  },
  *domainFlushes(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"domain","domain":${i % DEVICES}}`;
  },
  *deviceFlushes(n) {
    yield* manyDomains(n / 2);
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"inv","iommu":"d","cache":"all","granularity":"device","dev":"${bdf(i)}"}`;
  },
  *staleInUse(n) {
    yield* tables();
    for (let i = 0; i < 512; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
    for (let i = 0; i < 512; i++) yield mem(0x100_5000 + i * 8, words(0x2_0000_0000 + i * 4096 + 3));
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","domain":1,"addr":"${hex(2 ** 47)}","size":"0x10000000"}`;
      yield dma(`"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}"`);
    }
  },
  *sharedDomain(n) {
    yield* tables();
    yield mem(0x100_1000, words(...repeated(256, (i) => [0x100_2001 + (i % 2) * 4096, 0x102]).flat()));
    for (let i = 0; i < n / 2; i++) {
      yield dma(`"dev":"${bdf(i % 256)}","addr":"${hex(i * 4096)}"`);
      yield cmd(0x1_0032, i * 4096);
    }
  },
  *stopped(n) {
    yield* tables();
    yield cmd(0x25, 0);
    yield dma('"dev":"00:00.0","addr":"0x0"');
    yield cmd(0xf, 0);
    for (let i = 0; i < n / 3; i++) {
      yield mem(0x100_5000 + (i % 512) * 8, words(0x1_0000_0000 + i * 4096 + 3));
      yield cmd(0x1_0032, (i % 512) * 4096);
      yield dma(
        `"dev":"00:00.0","addr":"${hex((i % 512) * 4096)}","observed":{"result":"ok","pa":"${hex(0x1_0000_0000 + i * 4096)}"}`,
      );
    }
  },
} satisfies Kinds;
