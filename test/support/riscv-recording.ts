/** Replays a recorded RISC-V trace against the walker alone, with nothing of the pipeline. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState, type PropertyValue } from "../../walkers/registers.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { RiscvWalker } from "../../walkers/riscv/index.ts";
import { type Seen, seen } from "./riscv-iommu.ts";
import { TableMemory } from "./table-memory.ts";

interface Observed {
  readonly result: "ok" | "fault" | "msi";
  readonly pa?: string;
  readonly code?: string;
}

export interface Answer {
  readonly seq: number;
  readonly seen: Seen;
  readonly observed: Observed;
}

interface Line {
  readonly type: string;
  readonly seq: number;
  readonly addr: string;
  readonly size: string;
  readonly data: string;
  readonly path: string;
  readonly id: string;
  readonly iommu: string;
  readonly regs?: Record<string, string>;
  readonly props?: Record<string, PropertyValue>;
  readonly dev: string;
  readonly pasid?: number;
  readonly access?: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly observed: Observed;
}

const ACCESS = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE };

function halves(hex: string): { hi: number; lo: number } {
  const value = BigInt(hex);
  return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
}

function deviceId(dev: string): number {
  if (dev.startsWith("did:")) return Number(dev.slice(4));
  const [, bus, device, fn] = /^(?:[0-9a-f]+:)?([0-9a-f]+):([0-9a-f]+)\.([0-7])$/.exec(dev)!;
  return (Number.parseInt(bus!, 16) << 8) | (Number.parseInt(device!, 16) << 3) | Number(fn);
}

function loadElf(memory: TableMemory, file: URL): void {
  const elf = readFileSync(file);
  const first = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const header = first + i * size;
    if (elf.readUInt32LE(header) !== 1) continue;
    const offset = Number(elf.readBigUInt64LE(header + 8));
    memory.write(
      elf.readBigUInt64LE(header + 24),
      elf.subarray(offset, offset + Number(elf.readBigUInt64LE(header + 32))),
    );
  }
}

/** @param file a trace, compressed or not, with absolute URL */
export function replayRiscv(file: URL): Answer[] {
  const bytes = readFileSync(file);
  const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
  const memory = new TableMemory();
  const walkers = new Map<string, WalkEngine>();
  const request = new WalkRequest();
  const answers: Answer[] = [];
  for (const json of text.split("\n")) {
    if (json === "") continue;
    const line = JSON.parse(json) as Line;
    if (line.type === "ram" && BigInt(line.size) < 1n << 24n)
      memory.ram(BigInt(line.addr), BigInt(line.size));
    else if (line.type === "mem") memory.write(BigInt(line.addr), Buffer.from(line.data, "hex"));
    else if (line.type === "snapshot") loadElf(memory, new URL(line.path, file));
    else if (line.type === "iommu") walkers.set(line.id, declare(line, memory));
    else if (line.type === "dma") {
      request.device = deviceId(line.dev);
      request.pasid = line.pasid ?? NO_PASID;
      const address = halves(line.addr);
      request.addrHi = address.hi;
      request.addrLo = address.lo;
      request.access = ACCESS[line.access ?? "r"];
      request.priv = line.priv ?? false;
      const out = walkers.get(line.iommu)!.walk(request);
      answers.push({ seq: line.seq, seen: seen(out), observed: line.observed });
    }
  }
  return answers;
}

function declare(line: Line, memory: TableMemory): WalkEngine {
  const state = new IommuState();
  for (const [name, value] of Object.entries(line.regs ?? {})) state.registers.set(name, halves(value));
  for (const [name, value] of Object.entries(line.props ?? {})) state.props.set(name, value);
  const walker = new RiscvWalker(memory);
  walker.configure(state);
  return new WalkEngine(walker);
}
