/**
 * QEMU's virtio-iommu by its trace events virtio_iommu_* (hw/virtio/trace-events, 7.2 to 11.1). The whole state is in the
 * log: which device is attached to which domain, and what is mapped there. The device has no tables; see
 * virtio-iommu-tables.ts for those that stand for it.
 */
import { pciName } from "../../walkers/pci.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { UNKNOWN_TABLES } from "./losses.ts";
import { Pending } from "./pending.ts";
import { EventReader, expectWhole, hexField, hexOf, numberField, partsOf } from "./qemu-events.ts";
import { dmaText, observedOk, recordText } from "./record-text.ts";
import { hexOfBig } from "./table-builder.ts";
import { type Mapping, VirtioTables } from "./virtio-iommu-tables.ts";

export const QEMU_VIRTIO_IOMMU: LogFormat = {
  name: "qemu-virtio-iommu",
  title: "QEMU 7.2 to 11.1: trace events virtio_iommu_* of the log backend",
  needles: ["virtio_iommu_"],
  detect: (text) => /^virtio_iommu_[a-z]/.test(text),
  open: (output) => new VirtioEvents(output),
};

const VIRTIO_ID = "virtio-iommu";
const ASSUMED = '["len"]';
/** Rights of a mapping, and kinds of a request (IOMMUAccessFlags), by number. */
const ACCESS: Readonly<Record<number, "r" | "w" | "rw">> = { 1: "r", 2: "w", 3: "rw" };
const RIGHTS = 3;
/** Interrupts (MSI) of x86: QEMU passes them on, whatever is mapped. */
const INTERRUPTS = 0xfeen;

interface Request {
  readonly addr: string;
  readonly endpoint: number;
  readonly access: "r" | "w" | "rw";
}

class VirtioEvents implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #tables: VirtioTables;
  /** Requests whose answer has not come. */
  readonly #requests = new Pending<Request>();

  constructor(output: LogOutput) {
    this.#output = output;
    this.#iommu = new LogIommu(output, VIRTIO_ID, "amd", ["model"]);
    this.#tables = new VirtioTables(output, this.#iommu);
    this.#reader = new EventReader(output, {
      virtio_iommu_attach: (args) => this.#attach(args),
      virtio_iommu_detach: (args) => this.#detach(args),
      virtio_iommu_map: (args) => this.#map(args),
      virtio_iommu_unmap: (args) => this.#unmap(args),
      virtio_iommu_translate: (args) => this.#request(args),
      virtio_iommu_translate_out: (args, line) => this.#answer(args, line),
      virtio_iommu_report_fault: (args, line) => this.#fault(args, line),
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  #attach(args: string): void {
    const domain = numberField(args, "domain=");
    const endpoint = numberField(args, "endpoint=");
    this.#tables.attach(domain, endpoint);
    this.#invalidateDevice(endpoint);
    for (const mapping of this.#tables.mappings(domain)) this.#mapped(domain, mapping, [endpoint]);
  }

  #detach(args: string): void {
    const endpoint = numberField(args, "endpoint=");
    this.#tables.detach(numberField(args, "domain="), endpoint);
    this.#invalidateDevice(endpoint);
  }

  /** Requests of the driver are done when they are answered: nothing is cached past them. */
  #invalidateDevice(endpoint: number): void {
    this.#iommu.declare();
    const fields = { iommu: this.#iommu.id, cache: "context", granularity: "device", dev: nameOf(endpoint) };
    this.#output.record("inv", recordText("inv", { ...fields, assumed: ["cache"] }));
  }

  #map(args: string): void {
    const mapping: Mapping = {
      start: BigInt(hexField(args, "virt_start=")),
      end: BigInt(hexField(args, "virt_end=")),
      physical: BigInt(hexField(args, "phys_start=")),
      flags: numberField(args, "flags="),
    };
    expectWhole(mapping.start <= mapping.end);
    const domain = numberField(args, "domain=");
    this.#tables.map(domain, mapping);
    this.#iommu.declare();
    this.#mapped(domain, mapping, this.#tables.endpoints(domain));
  }

  /** What software says: for each device, or for the domain alone where there is none yet. */
  #mapped(domain: number, { start, end, physical, flags }: Mapping, endpoints: Iterable<number>): void {
    const fields = {
      iommu: this.#iommu.id,
      domain: this.#tables.domainId(domain),
      addr: hexOfBig(start),
      size: hexOfBig(end - start + 1n),
      pa: hexOfBig(physical),
      access: ACCESS[flags & RIGHTS],
    };
    this.#eachDevice("map", fields, endpoints);
  }

  #unmap(args: string): void {
    const domain = numberField(args, "domain=");
    const start = BigInt(hexField(args, "virt_start="));
    const end = BigInt(hexField(args, "virt_end="));
    expectWhole(start <= end);
    this.#tables.unmap(domain, start, end);
    this.#iommu.declare();
    const range = {
      iommu: this.#iommu.id,
      domain: this.#tables.domainId(domain),
      addr: hexOfBig(start),
      size: hexOfBig(end - start + 1n),
    };
    this.#eachDevice("unmap", range, this.#tables.endpoints(domain));
    const inv = { ...range, cache: "iotlb", granularity: "page", assumed: ["cache"] };
    this.#output.record("inv", recordText("inv", inv));
  }

  #eachDevice(type: "map" | "unmap", fields: Readonly<Record<string, unknown>>, devices: Iterable<number>) {
    let any = false;
    for (const endpoint of devices) {
      any = true;
      this.#output.record(type, recordText(type, { dev: nameOf(endpoint), ...fields }));
    }
    if (!any) this.#output.record(type, recordText(type, fields));
  }

  #request(args: string): void {
    const addr = hexField(args, "addr=");
    const endpoint = numberField(args, "rid=");
    const access = ACCESS[numberField(args, "flag=") & RIGHTS] ?? "r";
    this.#requests.add({ addr, endpoint, access });
  }

  #taken(endpoint: number, addr: string): Request | undefined {
    return this.#requests.take((each) => each.endpoint === endpoint && each.addr === addr);
  }

  #answer(args: string, line: LogLine): void {
    const [, from, to, sid] = partsOf(/^(0x[0-9a-f]{1,16}) -> (0x[0-9a-f]{1,16}) for sid=(\d{1,10})$/, args);
    const addr = hexOf(from);
    const endpoint = Number(sid);
    const request = this.#taken(endpoint, addr);
    if (request === undefined || !this.#tables.attached(endpoint)) this.#output.lost(UNKNOWN_TABLES);
    else if (BigInt(addr) >> 20n === INTERRUPTS)
      this.#output.ignored("virtio_iommu_translate of an interrupt");
    else this.#dma(request, observedOk(hexOf(to)), line);
  }

  #fault(args: string, line: LogLine): void {
    const endpoint = numberField(args, "endpoint=");
    const addr = hexField(args, "address =");
    const request = this.#taken(endpoint, addr);
    // Without a domain, what becomes of a request is a matter of the device's configuration.
    if (request === undefined || !this.#tables.attached(endpoint)) this.#output.lost(UNKNOWN_TABLES);
    else this.#dma(request, '{"result":"fault"}', line);
  }

  #dma({ addr, endpoint, access }: Request, observed: string, { ts }: LogLine): void {
    const { id: iommu } = this.#iommu;
    const dev = nameOf(endpoint);
    this.#output.record("dma", dmaText({ iommu, dev, addr, access, ts, observed, assumed: ASSUMED }));
  }
}

/** Endpoint ids of PCI functions are their requester ids. */
function nameOf(endpoint: number): string {
  return endpoint < 1 << 16 ? pciName(endpoint) : `sid:${endpoint}`;
}
