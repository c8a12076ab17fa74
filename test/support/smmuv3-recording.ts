/** Replays a recorded SMMUv3 trace against the walker alone, with nothing of the pipeline. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState } from "../../walkers/registers.ts";
import { NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import type { WalkResult } from "../../walkers/result.ts";
import { SmmuV3Walker } from "../../walkers/smmuv3/index.ts";
import { describeResult, outputOf } from "./smmuv3-machine.ts";
import { TableMemory } from "./table-memory.ts";

export interface Answer {
  readonly seq: number;
  /** What the walker says, in the words of `observed` and of the event record. */
  readonly ours: string;
  /** What the recorded system did, in the same words. */
  readonly theirs: string;
  readonly kind: string;
  readonly pageShift: number;
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
  readonly regs: Record<string, string>;
  readonly dev: string;
  readonly access: "r" | "w";
  readonly observed: {
    readonly result: string;
    readonly pa?: string;
    readonly code?: string;
    readonly event?: string;
  };
}

/** Table memory whose RAM, however large, exists where it is asked for. */
class Ram extends TableMemory {
  #start = 0n;
  #end = 0n;

  declare(start: bigint, size: bigint): void {
    this.#start = start;
    this.#end = start + size;
  }

  override fetch(frame: number, offset: number, bytes: number): boolean {
    const address = BigInt(frame) << 12n;
    if (!this.frames.has(frame) && address >= this.#start && address < this.#end) this.ram(address, 4096n);
    return super.fetch(frame, offset, bytes);
  }
}

function halves(hex: string): { hi: number; lo: number } {
  const value = BigInt(hex);
  return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
}

function streamId(dev: string): number {
  const [, bus, device, fn] = /([0-9a-f]+):([0-9a-f]+)\.([0-7])$/.exec(dev)!;
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
    const bytes = Number(elf.readBigUInt64LE(header + 32));
    memory.write(elf.readBigUInt64LE(header + 24), elf.subarray(offset, offset + bytes));
  }
}

/** @param file a trace, compressed or not, with absolute URL */
export function replaySmmuV3(file: URL): Answer[] {
  const bytes = readFileSync(file);
  const text = (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes).toString();
  const memory = new Ram();
  const state = new IommuState();
  const walker = new SmmuV3Walker(memory);
  const engine = new WalkEngine(walker);
  const request = new WalkRequest();
  const answers: Answer[] = [];
  const configure = (regs: Record<string, string>) => {
    for (const [name, value] of Object.entries(regs)) state.registers.set(name, halves(value));
    walker.configure(state);
    engine.drop();
  };
  for (const json of text.split("\n")) {
    if (json === "") continue;
    const line = JSON.parse(json) as Line;
    if (line.type === "ram") memory.declare(BigInt(line.addr), BigInt(line.size));
    else if (line.type === "mem") memory.write(BigInt(line.addr), Buffer.from(line.data, "hex"));
    else if (line.type === "snapshot") loadElf(memory, new URL(line.path, file));
    else if (line.type === "iommu") configure(line.regs);
    else if (line.type === "reg") configure({ [line.name]: line.value });
    else if (line.type === "dma") {
      request.device = streamId(line.dev);
      request.pasid = NO_PASID;
      const address = halves(line.addr);
      request.addrHi = address.hi;
      request.addrLo = address.lo;
      request.access = line.access === "w" ? WRITE : READ;
      const out = engine.walk(request);
      answers.push({
        seq: line.seq,
        ours: ourWords(out, request, line),
        theirs: theirWords(line),
        kind: describeResult(out),
        pageShift: out.pageShift,
      });
    }
  }
  return answers;
}

/** Event records of the F_ kind whose fields are compared, by number: 0x0b has no IPA but the descriptor's address. */
const WALK_EABT = 0x0b;
const CLASSES = ["CD", "TT", "IN", "?"];

/** IHI 0070 7.3: event number, StreamID, and for translation faults InputAddr, RnW, InD, S2, CLASS, IPA or FetchAddr. */
function theirWords({ observed }: Line): string {
  if (observed.pa !== undefined) return `ok ${observed.pa}`;
  if (observed.event === undefined) return observed.result;
  const b = Buffer.from(observed.event, "hex");
  const code = b[0]!;
  const words = [`0x${code.toString(16)}`, `sid ${b.readUInt32LE(4)}`];
  const flags = b.readUInt32LE(12);
  const s2 = (flags >> 7) & 1;
  if (code >= WALK_EABT) {
    words.push(`at 0x${b.readBigUInt64LE(16).toString(16)}`, (flags >> 3) & 1 ? "read" : "write");
    words.push((flags >> 2) & 1 ? "inst" : "data", `S${s2 + 1}`, CLASSES[(flags >> 8) & 3]!);
    if (s2 === 1 || code === WALK_EABT) words.push(`0x${b.readBigUInt64LE(24).toString(16)}`);
  }
  return words.join(" ");
}

function ourWords(out: WalkResult, request: WalkRequest, line: Line): string {
  if (out.status === 0) return `ok 0x${outputOf(out).toString(16)}`;
  if (!out.recorded || line.observed.code === undefined) return out.recorded ? "fault recorded" : "fault";
  const words = [`0x${out.fault!.code.toString(16)}`, `sid ${request.device}`];
  if (out.fault!.code >= WALK_EABT) {
    words.push(`at 0x${BigInt(line.addr).toString(16)}`, request.access === READ ? "read" : "write", "data");
    words.push(`S${out.stage}`, out.faultClass);
    const ipa = (BigInt(out.faultHi >>> 0) << 32n) | BigInt(out.faultLo >>> 0);
    const fetch = (BigInt(out.entryFrame) << 12n) + BigInt(out.entryOffset);
    if (out.fault!.code === WALK_EABT) words.push(`0x${fetch.toString(16)}`);
    else if (out.stage === 2) words.push(`0x${(out.hasFaultAddr ? ipa : BigInt(line.addr)).toString(16)}`);
  }
  return words.join(" ");
}
