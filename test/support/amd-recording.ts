/** Replays a recorded AMD trace against the walker alone, with nothing of the pipeline. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { PropertyValue } from "../../walkers/registers.ts";
import type { Binding } from "../../walkers/request.ts";
import type { PasidTableConfig } from "../../walkers/walker.ts";
import { AmdIommu, PAGE, type Seen } from "./amd-iommu.ts";

interface Observed {
  readonly result: "ok" | "fault" | "msi";
  readonly pa?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly flags?: string;
}

export interface Answer {
  readonly seq: number;
  readonly access: string;
  readonly seen: Seen;
  readonly observed: Observed;
  /** What the specification asks for where the recorded system departs from it. */
  readonly deviation?: string;
}

interface Line {
  readonly type: string;
  readonly seq: number;
  readonly addr: string;
  readonly size: string;
  readonly data: string;
  readonly path: string;
  readonly name: string;
  readonly value: string;
  readonly regs?: Record<string, string>;
  readonly props?: Record<string, PropertyValue>;
  readonly dev: string;
  readonly config: { base_ptr: string; pasid_bits?: number; amd: NonNullable<PasidTableConfig["amd"]> };
  readonly pasid?: number;
  readonly access: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly observed?: Observed;
  readonly qemu_deviation?: string;
}

function deviceId(dev: string): number {
  if (dev.startsWith("devid:")) return Number(dev.slice(6));
  const [, bus, device, fn] = /([0-9a-f]+):([0-9a-f]+)\.([0-7])$/.exec(dev)!;
  return (Number.parseInt(bus!, 16) << 8) | (Number.parseInt(device!, 16) << 3) | Number(fn);
}

function loadElf(iommu: AmdIommu, file: URL): void {
  const elf = readFileSync(file);
  const first = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  iommu.memory.frames.clear();
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const header = first + i * size;
    if (elf.readUInt32LE(header) !== 1) continue;
    const offset = Number(elf.readBigUInt64LE(header + 8));
    const length = Number(elf.readBigUInt64LE(header + 32));
    iommu.memory.write(elf.readBigUInt64LE(header + 24), elf.subarray(offset, offset + length));
  }
}

/** @param file a trace, compressed or not */
export function replayAmd(file: URL): Answer[] {
  const bytes = readFileSync(file);
  const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
  const iommu = new AmdIommu();
  const bindings = new Map<number, Binding>();
  const answers: Answer[] = [];
  const ram: bigint[] = [];
  // RAM of a trace is far larger than what is touched in it: frames come into being as they are asked for.
  const fetch = iommu.memory.fetch.bind(iommu.memory);
  iommu.memory.fetch = (frame, offset, size) => {
    const address = BigInt(frame) * PAGE;
    if (!iommu.memory.frames.has(frame) && ram.some((end) => address < end)) iommu.memory.ram(address, PAGE);
    return fetch(frame, offset, size);
  };
  for (const json of text.split("\n")) {
    if (json === "") continue;
    const line = JSON.parse(json) as Line;
    if (line.type === "ram") ram.push(BigInt(line.size));
    else if (line.type === "mem") {
      const address = BigInt(line.addr);
      iommu.memory.write(address, Buffer.from(line.data, "hex"));
    } else if (line.type === "snapshot") loadElf(iommu, new URL(line.path, file));
    else if (line.type === "iommu")
      iommu.set(Object.fromEntries(Object.entries(line.regs!).map(([k, v]) => [k, BigInt(v)])), line.props);
    else if (line.type === "bind") {
      const base = BigInt(line.config.base_ptr);
      const binding = iommu.walker.bind({
        model: "amd",
        baseHi: Number(base >> 32n),
        baseLo: Number(BigInt.asIntN(32, base)),
        pasidBits: line.config.pasid_bits,
        amd: line.config.amd,
      });
      if (typeof binding === "string") throw new Error(binding);
      bindings.set(deviceId(line.dev), binding);
    } else if (line.type === "dma" && line.observed) {
      const device = deviceId(line.dev);
      const binding = bindings.get(device);
      const seen = iommu.ask(device, BigInt(line.addr), {
        access: line.access,
        ...(line.pasid === undefined ? {} : { pasid: line.pasid }),
        ...(line.priv === undefined ? {} : { priv: line.priv }),
        ...(binding === undefined ? {} : { binding }),
      });
      const { seq, access, observed, qemu_deviation } = line;
      answers.push({ seq, access, seen, observed, ...(qemu_deviation ? { deviation: qemu_deviation } : {}) });
    }
  }
  return answers;
}
