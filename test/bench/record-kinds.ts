/** Traces of which each has many records of one kind, or of two that may get into each other's way. */
import {
  bdf,
  DEVICES,
  dma,
  hex,
  IOMMU,
  type Kinds,
  type Lines,
  MOST_IOMMUS,
  manyPasids,
  mem,
  RAM,
  repeated,
  tables,
  words,
} from "./bulk-records.ts";
import { CACHE_KINDS } from "./cache-kinds.ts";

export const KINDS: Kinds = {
  *devices(n) {
    yield '{"type":"iommu","id":"d","model":"arm-smmuv3","regs":{"cr0":"0x0"}}';
    for (let i = 0; i < n; i++) yield dma(`"dev":"sid:${i}","addr":"0x0"`);
  },
  *pasids(n) {
    yield* manyPasids(n);
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
  *faults(n) {
    yield* tables();
    for (let i = 0; i < n; i++)
      yield `{"type":"fault","iommu":"d","dev":"${bdf(i)}","addr":"${hex(i * 4096)}","seq":${i}}`;
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
  *long(n) {
    yield* tables();
    yield dma(`"dev":"00:00.0","addr":"0x0","len":${n * 4096 - 1}`);
  },
  *passing(n) {
    yield '{"type":"iommu","id":"d","model":"intel","regs":{"gsts":"0x0"}}';
    yield dma(`"dev":"00:00.0","addr":"0x0","len":${n * 4096 - 1}`);
  },
  *boundIommus(n) {
    const many = Math.min(n / 2, MOST_IOMMUS);
    for (let i = 0; i < many; i++) yield `{"type":"iommu","id":"i${i}","model":"intel"}`;
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"bind","iommu":"i${i % many}","dev":"${bdf(i)}","config":{"model":"intel","base_ptr":"0x100000"}}`;
      yield `{"type":"dma","iommu":"i${i % many}","dev":"${bdf(i)}","pasid":1,"addr":"0x0"}`;
    }
  },
  *properties(n) {
    const props = repeated(n / 2, (i) => `"p${i}":${i}`);
    yield `{"type":"iommu","id":"d","model":"intel","props":{${props.join()}}}`;
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"reg","iommu":"d","name":"rtaddr","value":"${hex((i % 4096) * 4096)}"}`;
  },
  *bytes(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield mem(i * 4096, "01");
  },
  *spacedBytes(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield mem(i * 2, "01");
  },
  *overlappingRam(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++)
      yield `{"type":"ram","addr":"${hex(((i * 7919) % n) * 64)}","size":"${hex((1 + (i % 100)) * 64)}"}`;
    yield dma('"dev":"00:00.0","addr":"0x0"');
  },
  *pciSegments(n) {
    yield IOMMU;
    const dev = (i: number) => `"dev":"${(i % DEVICES).toString(16).padStart(4, "0")}:00:03.0"`;
    for (let i = 0; i < n / 2; i++) {
      yield `{"type":"bind","iommu":"d",${dev(i)},"config":{"model":"intel","base_ptr":"${hex(i * 4096)}"}}`;
      yield dma(`${dev(i)},"pasid":1,"addr":"0x0"`);
    }
  },
  *bindUnbind(n) {
    yield IOMMU;
    yield RAM;
    for (let i = 0; i < n / 3; i++) {
      yield `{"type":"bind","iommu":"d","dev":"${bdf(i)}","config":{"model":"intel","base_ptr":"0x100000"}}`;
      yield dma(`"dev":"${bdf(i)}","pasid":1,"addr":"0x0"`);
      yield `{"type":"unbind","iommu":"d","dev":"${bdf(i * 7)}"}`;
    }
  },
  *lateFaults(n) {
    yield IOMMU;
    for (let i = 0; i < n / 2; i++) yield dma(`"dev":"${bdf(i)}","addr":"${hex(i * 4096)}"`);
    for (let i = n / 2 - 1; i >= 0; i--)
      yield `{"type":"fault","iommu":"d","dev":"${bdf(i)}","addr":"${hex(i * 4096)}"}`;
  },
  *sameFaults(n) {
    yield IOMMU;
    for (let i = 0; i < n / 2; i++) yield dma('"dev":"00:03.0","addr":"0x1000"');
    for (let i = 0; i < n / 2; i++)
      yield `{"type":"fault","iommu":"d","dev":"00:03.0","addr":"0x${i % 2}000"}`;
  },
  *torn(n) {
    yield* tables();
    for (let i = 0; i < n / 2; i++) {
      yield mem(0x100_1000, words(0x100_2001 + (i % 2) * 4096));
      yield mem(0x100_1008, words(0x102 + (i % 256) * 256));
    }
  },
  *tornInUse(n) {
    yield* tables();
    for (let i = 0; i < n / 3; i++) {
      yield mem(0x100_1000, words(0x100_2001 + (i % 2) * 4096));
      yield dma('"dev":"00:00.0","addr":"0x1000"');
      yield mem(0x100_1008, words(0x102 + (i % 256) * 256));
    }
  },
  *deviceNames(n) {
    yield IOMMU;
    yield RAM;
    for (let i = 0; i < n / 3; i++) yield dma(`"dev":"${bdf(i)}","addr":"0x0"`);
    for (let i = 0; i < n / 3; i++) {
      yield mem(0x100_1000 + (i % DEVICES) * 16, words(0x100_2001, 0xff02 + i * 256));
      yield mem(0x100_0000 + ((i >> 8) % 256) * 16, words(0x100_1001 + ((i >> 8) % 256) * 4096, 0));
    }
  },
  *longRequests(n) {
    yield* tables();
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}","len":4294967295`);
  },
  *longObserved(n) {
    yield* tables();
    for (let i = 0; i < n; i++)
      yield dma(
        `"dev":"00:00.0","addr":"${hex(i * 4096)}","len":4294967295,"observed":{"result":"fault","code":"0x5"}`,
      );
  },
  ...CACHE_KINDS,
};

const HEADER = '{"type":"header","format":"pasid-trace","version":1}';

function* observed(n: number, first: number, more: string): Lines {
  yield HEADER;
  yield* tables();
  for (let i = 0; i < n; i++) yield dma(`"dev":"00:00.0","addr":"${hex((first + i) * 4096)}"${more}`);
}

/** Two traces that are compared. */
export const PAIRS: Readonly<Record<string, (n: number) => readonly [Lines, Lines]>> = {
  same: (n) => [observed(n, 0, ""), observed(n, 0, "")],
  unlike: (n) => [observed(n / 2, 0, ""), observed(n / 2, n, "")],
  unlikeObserved: (n) => {
    const more = `,"observed":{"result":"ok","pa":"0x1","raw":"${"x".repeat(8000)}"}`;
    return [observed(n / 20, 0, more), observed(n / 20, n, more)];
  },
  shifted: (n) => [observed(n / 2, 0, ""), observed(n / 2, n / 8, "")],
};
