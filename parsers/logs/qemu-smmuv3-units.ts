/**
 * Several SMMUv3s of one QEMU (-device arm-smmuv3; as of 11.1), whose events name none of them. Whose they are:
 *
 * - Registers and commands are written, and executed, inside of a store of a processor, under QEMU's global lock. The event
 *   memory_region_ops_write before them has the address of the store.
 * - What a translation ends with has the name of the memory region that is the device's address space, each another one. The
 *   monitor says which SMMU it belongs to.
 * - What a translation begins with has the StreamID, and what comes between has nothing. Until it is known whose stream it is,
 *   its lines wait for the end.
 * - A fault has the StreamID alone. A stream of which no request was ever translated is whose stream table was read for it.
 */

import { Ste } from "../../walkers/smmuv3/ste.ts";
import type { UnitPlace } from "../caps/host.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { isTorn, numberField, optionalNumber, partsOf } from "./qemu-events.ts";
import { STRTAB_ADDRESS } from "./smmuv3-registers.ts";

/** An SMMU, and what reads its lines. */
interface Unit extends UnitPlace {
  readonly reader: LogReader;
  /** SMMU_STRTAB_BASE, as far as it was written. */
  strtabBase: bigint;
}

/** A StreamID has 16 bits in QEMU. */
const MAX_STREAMS = 1 << 16;
/** Lines of one translation: walks of two stages have less. */
const MAX_HELD = 1024;
/** Offsets of SMMU_STRTAB_BASE (IHI 0070, 6.3.23) and of its upper half; page 1 is an alias of page 0. */
const STRTAB_BASE = 0x80;
const PAGE_1 = 0x1_0000;

const BEGINNING = /^(?:smmuv3_config_cache_(?:hit|miss)|smmuv3_find_ste) /;
const BETWEEN =
  /^(?:smmuv3_(?:find_ste_2lvl|get_ste|get_cd|decode_cd|decode_cd_tt)|smmu_(?:iotlb_(?:lookup_\w+|insert)|get_pte|ptw_\w+)) /;
const ANSWER = /^smmuv3_translate_\w+ (\S+) sid=(0x[0-9a-f]+|\d+) /;
const FAULT = /^smmuv3_(?:record|propagate)_event \S+ sid=(0x[0-9a-f]+|\d+)$/;
const STORE = /^memory_region_ops_write .* addr (0x[0-9a-f]+) .* name 'arm-smmuv3'$/;

const UNKNOWN: Loss = {
  what: "smmu",
  severity: "warning",
  message:
    "events are left out of which nothing says whose they are of several SMMUv3s: faults of streams without any other request, stores before the event memory_region_ops_write was enabled",
};
const MOVED: Loss = {
  what: "stream",
  severity: "error",
  message:
    "a StreamID has come to another SMMUv3, or two have it: lines of its first request are taken for the other's",
};

export class SmmuUnits implements LogReader {
  readonly #output: LogOutput;
  readonly #units: readonly Unit[];
  readonly #spaces = new Map<string, Unit>();
  readonly #streams = new Map<number, Unit>();
  /** Whose registers are being written; null before the first store. */
  #written: Unit | null = null;
  /** Whose translation is under way; null where that is not known, and its lines wait. */
  #walking: Unit | null = null;
  #stream = -1;
  #held: LogLine[] = [];

  /** @param reader of the lines of the SMMU with this id */
  constructor(output: LogOutput, places: ReadonlyMap<string, UnitPlace>, reader: (id: string) => LogReader) {
    this.#output = output;
    this.#units = [...places].map(([id, place]) => ({
      ...place,
      reader: reader(id),
      strtabBase: tableOf(output, id),
    }));
    for (const unit of this.#units) for (const name of unit.spaces) this.#spaces.set(name, unit);
  }

  line(line: LogLine): boolean {
    const { text } = line;
    if (ofOther(text)) return false;
    if (text.startsWith("memory_region_ops_write ")) this.#store(text);
    else if (BEGINNING.test(text)) this.#begin(line);
    else if (BETWEEN.test(text)) this.#between(line);
    else if (ANSWER.test(text)) this.#answer(line);
    else if (FAULT.test(text)) this.#fault(line);
    else if (text.startsWith("smmu_reset_exit")) for (const { reader } of this.#units) reader.line(line);
    else if (text.startsWith("smmuv3_read_mmio ")) this.#output.ignored("smmuv3_read_mmio");
    else this.#command(line);
    return true;
  }

  memoryReplaced(): void {
    for (const { reader } of this.#units) reader.memoryReplaced?.();
  }

  finish(): void {
    this.#drop();
    for (const { reader } of this.#units) reader.finish?.();
  }

  #store(text: string): void {
    const address = BigInt(STORE.exec(text)?.[1] ?? "0x0");
    const unit = this.#units.find(({ first, last }) => address >= first && address <= last);
    this.#written = unit ?? null;
    this.#output.ignored("memory_region_ops_write");
  }

  #command(line: LogLine): void {
    if (this.#written === null) {
      this.#output.lost(UNKNOWN);
      return;
    }
    if (line.text.startsWith("smmuv3_write_mmio ")) isTorn(() => this.#register(line.text, this.#written!));
    this.#written.reader.line(line);
  }

  #register(text: string, unit: Unit): void {
    const offset = numberField(text, "addr: ") & ~PAGE_1;
    const value = BigInt(partsOf(/ val:(0x[0-9a-f]{1,16}) /, text)[1]!);
    const bits = 8n * BigInt(numberField(text, "size: "));
    if (offset !== STRTAB_BASE && offset !== STRTAB_BASE + 4) return;
    const at = 8n * BigInt(offset - STRTAB_BASE);
    const mask = ((1n << bits) - 1n) << at;
    unit.strtabBase = (unit.strtabBase & ~mask) | ((value << at) & mask);
  }

  #begin(line: LogLine): void {
    const sid = streamOf(line.text);
    // A translation has first a line of the cache of configurations, and then perhaps one of the table.
    if (sid !== this.#stream || !line.text.startsWith("smmuv3_find_ste ")) {
      this.#drop();
      this.#stream = sid;
      this.#walking = this.#streams.get(sid) ?? null;
    }
    this.#between(line);
  }

  #between(line: LogLine): void {
    if (this.#walking !== null) this.#walking.reader.line(line);
    else if (this.#stream < 0 || this.#held.length >= MAX_HELD) this.#output.lost(UNKNOWN);
    else this.#held.push({ ...line });
  }

  #answer(line: LogLine): void {
    const [, space, stream] = ANSWER.exec(line.text)!;
    const sid = Number(stream);
    const unit = this.#spaces.get(space!);
    const known = this.#streams.get(sid);
    if (unit !== undefined && known !== undefined && unit !== known) this.#output.lost(MOVED);
    this.#end(sid, unit, line);
  }

  #fault(line: LogLine): void {
    const sid = Number(FAULT.exec(line.text)![1]);
    this.#end(sid, this.#streams.get(sid) ?? (sid === this.#stream ? this.#byTable(sid) : undefined), line);
  }

  /** A translation has ended, and is this SMMU's. */
  #end(sid: number, unit: Unit | undefined, line: LogLine): void {
    if (unit === undefined) {
      this.#drop();
      this.#output.lost(UNKNOWN);
      return;
    }
    if (this.#streams.size >= MAX_STREAMS) this.#streams.clear();
    this.#streams.set(sid, unit);
    if (sid === this.#stream) {
      const held = this.#held;
      this.#held = [];
      for (const each of held) unit.reader.line(each);
      this.#stream = -1;
      this.#walking = null;
    }
    unit.reader.line(line);
  }

  /** The SMMU whose stream table was read in the lines that wait. */
  #byTable(sid: number): Unit | undefined {
    let base: bigint | null = null;
    for (const { text } of this.#held) {
      const table = / strtab_base:(0x[0-9a-f]{1,16}) /.exec(text)?.[1];
      const entry = /^smmuv3_get_ste STE addr: (0x[0-9a-f]{1,16})$/.exec(text)?.[1];
      if (table !== undefined) base = BigInt(table);
      else if (entry !== undefined && base === null) base = BigInt(entry) - BigInt(sid * Ste.bytes);
    }
    if (base === null) return undefined;
    const own = this.#units.filter(({ strtabBase }) => ((strtabBase ^ base!) & STRTAB_ADDRESS) === 0n);
    return own.length === 1 ? own[0] : undefined;
  }

  /** Lines of a translation that did not end. */
  #drop(): void {
    if (this.#held.length > 0) this.#output.lost(UNKNOWN, this.#held.length);
    this.#held = [];
    this.#stream = -1;
    this.#walking = null;
  }
}

/** SMMU_STRTAB_BASE as it was given beside the log. */
function tableOf({ hosts }: LogOutput, id: string): bigint {
  const value = hosts.find((host) => host.id === id)?.state.registers.get("strtab_base");
  return value === undefined ? 0n : (BigInt(value.hi >>> 0) << 32n) | BigInt(value.lo >>> 0);
}

/** "sid=0x18", "for sid=0x18 (hits=", in early versions "SID:0x18", "sid 24"; -1 where the line is torn. */
function streamOf(text: string): number {
  let sid = -1;
  isTorn(() => {
    sid = optionalNumber(text, "sid=") ?? optionalNumber(text, "SID:") ?? numberField(text, "sid ");
  });
  return sid;
}

/** Stores to other devices: of those that stand between events of several SMMUs nobody wants to know. */
export const QEMU_REGION_WRITES: LogFormat = {
  name: "qemu-region-writes",
  title: "QEMU: the trace event memory_region_ops_write of other devices than IOMMUs",
  needles: ["memory_region_ops_write"],
  detect: ofOther,
  open: (output) => ({
    line: ({ text }) => {
      const other = ofOther(text);
      if (other) output.ignored("memory_region_ops_write of another device");
      return other;
    },
  }),
};

function ofOther(text: string): boolean {
  return text.startsWith("memory_region_ops_write ") && !text.endsWith("'arm-smmuv3'");
}
