/** QEMU's smmuv3, driven by its registers and queues (Arm IHI 0070, 6.3); its trace events are those of 7.2 to 11.1. */
import {
  type EmulatedAnswer,
  type EmulatedMachine,
  type EmulatorDriver,
  FUNCTIONS,
} from "../../fuzz/emulator.ts";
import { SMMUV3_FAULT_RECORD, TranslationEvent } from "../fault-record.ts";
import { Cr0, Cr2, Gbpa, StrtabBaseCfg } from "../registers.ts";

const SMMU = 0x905_0000n;
const IDR0 = SMMU;
const IDR1 = SMMU + 0x4n;
const IDR3 = SMMU + 0xcn;
const IDR5 = SMMU + 0x14n;
const AIDR = SMMU + 0x1cn;
const CR0 = SMMU + 0x20n;
const CR2 = SMMU + 0x2cn;
const GBPA = SMMU + 0x44n;
const GERROR = SMMU + 0x60n;
const GERRORN = SMMU + 0x64n;
const STRTAB_BASE = SMMU + 0x80n;
const STRTAB_BASE_CFG = SMMU + 0x88n;
const CMDQ_BASE = SMMU + 0x90n;
const CMDQ_PROD = SMMU + 0x98n;
const CMDQ_CONS = SMMU + 0x9cn;
const EVENTQ_BASE = SMMU + 0xa0n;
/** In page 1 of the registers. */
const EVENTQ_PROD = SMMU + 0x1_00a8n;
const EVENTQ_CONS = SMMU + 0x1_00acn;

/** Memory that is no world's, above what the machine puts at the beginning of it: both queues, of 4 KiB. */
const RAM = 0x4000_0000n;
const MEMORY = { base: RAM + 0x40_0000n, bytes: 0x3c0_0000n } as const;
const FLASH = { base: 0n, bytes: 0x800_0000n } as const;
const COMMANDS = RAM + 0x30_0000n;
const COMMAND_BYTES = 16;
const COMMANDS_LOG2 = 8;
const EVENTS = COMMANDS + 0x1_0000n;
const EVENTS_LOG2 = 7;
/** Flash and registers of devices; what the machine puts at the beginning of memory, its device tree; and what is in queues. */
const FOREIGN = [
  { base: 0n, bytes: RAM + 0x10_0000n },
  { base: COMMANDS, bytes: 0x2_0000n },
] as const;
/** An index of a queue has a further bit, which changes when it wraps. */
const indices = (log2: number) => 2 ** (log2 + 1) - 1;

/** 4.3.3, 4.4.4.1: CMD_CFGI_ALL, CMD_TLBI_NSNH_ALL. */
const EVERYTHING = [
  [0x04n, 0x1fn],
  [0x30n, 0n],
] as const;
const { CMDQEN } = Cr0.mask;
const { UPDATE } = Gbpa.mask;
const { FMT } = StrtabBaseCfg.mask;
/** FMT 1. */
const TWO_LEVELS = BigInt(FMT.lo & -FMT.lo);
/** Registers of which a trace says nothing: all is enabled and recorded, and the stream table as large as can be. */
const UNSAID = {
  cr0: BigInt(Cr0.mask.SMMUEN.lo | Cr0.mask.EVENTQEN.lo),
  cr2: BigInt(Cr2.mask.E2H.lo | Cr2.mask.RECINVSID.lo),
  gbpa: 0n,
  strtab_base: 0n,
  strtab_base_cfg: 16n,
} as const;
/** Since when the model has GBPA, and more than stage 1. */
const GBPA_VERSION = 8;
const NESTED_VERSION = 9;

/** A processor that does nothing: `wfi` and back to it. */
function firmware(): Uint8Array {
  const bytes = new Uint8Array(4096);
  new DataView(bytes.buffer).setUint32(0, 0xd503_207f, true);
  new DataView(bytes.buffer).setUint32(4, 0x17ff_ffff, true);
  return bytes;
}

/** Both queues of one machine. */
class Queues {
  #produced = 0;
  #consumed = 0;

  /** Both are empty, and what stopped commands is acknowledged. Translation is off. */
  async begin(machine: EmulatedMachine): Promise<void> {
    machine.write32(GERRORN, await machine.read32(GERROR));
    this.#produced = 0;
    this.#consumed = 0;
    for (const index of [CMDQ_PROD, CMDQ_CONS, EVENTQ_PROD, EVENTQ_CONS]) machine.write32(index, 0);
    machine.write64(CMDQ_BASE, COMMANDS | BigInt(COMMANDS_LOG2));
    machine.write64(EVENTQ_BASE, EVENTS | BigInt(EVENTS_LOG2));
  }

  put(machine: EmulatedMachine, words: readonly bigint[]): void {
    const slot = this.#produced % 2 ** COMMANDS_LOG2;
    const at = COMMANDS + BigInt(COMMAND_BYTES * slot);
    for (const [i, word] of words.entries()) machine.write64(at + BigInt(8 * i), word);
    this.#produced = (this.#produced + 1) & indices(COMMANDS_LOG2);
    machine.write32(CMDQ_PROD, this.#produced);
  }

  /** The first event since the last call. */
  async event(machine: EmulatedMachine): Promise<DataView | null> {
    const produced = (await machine.read32(EVENTQ_PROD)) & indices(EVENTS_LOG2);
    if (produced === this.#consumed) return null;
    const slot = this.#consumed % 2 ** EVENTS_LOG2;
    const { bytes } = SMMUV3_FAULT_RECORD;
    const record = await machine.readBytes(EVENTS + BigInt(bytes * slot), bytes);
    this.#consumed = produced;
    machine.write32(EVENTQ_CONS, produced);
    return new DataView(record.buffer, record.byteOffset, bytes);
  }
}

export function qemuSmmu(): EmulatorDriver {
  const queues = new Queues();
  let hasGbpa = true;
  return {
    architecture: "aarch64",
    name: "smmuv3",
    machine(version) {
      hasGbpa = version >= GBPA_VERSION;
      const stages = version >= NESTED_VERSION ? ["-global", "arm-smmuv3.stage=nested"] : [];
      return ["-M", "virt,iommu=smmuv3,highmem=off", "-cpu", "cortex-a57", ...stages];
    },
    props: () => ({}),
    limits: { foreign: FOREIGN },
    events: [
      "smmuv3_config_cache_hit",
      "smmuv3_config_cache_miss",
      "smmuv3_translate_success",
      "smmuv3_translate_bypass",
      "smmuv3_translate_disable",
      "smmuv3_translate_abort",
    ],
    devices: FUNCTIONS,
    memory: MEMORY,
    firstByte: RAM,
    ram: [FLASH, { base: RAM, bytes: MEMORY.base + MEMORY.bytes - RAM }],
    ecam: 0x3f00_0000n,
    window: 0x2000_0000n,
    firmware: firmware(),

    /** Once that stream tables have two levels, it takes all for such; those of a reserved format it does not take for such. */
    imprint: ({ strtab_base_cfg = 0n }) =>
      (strtab_base_cfg & BigInt(FMT.lo)) === TWO_LEVELS ? "a 2-level stream table" : "a linear stream table",

    async identify(machine) {
      const read = async (register: bigint) => BigInt(await machine.read32(register));
      return {
        ...{ idr0: await read(IDR0), idr1: await read(IDR1), idr3: await read(IDR3), idr5: await read(IDR5) },
        aidr: await read(AIDR),
        ...(hasGbpa ? {} : { gbpa: 0n }),
      };
    },

    async reset(machine) {
      machine.write32(CR0, 0);
      await queues.begin(machine);
      machine.write32(CR0, CMDQEN.lo);
      for (const words of EVERYTHING) queues.put(machine, words);
      machine.write32(CR0, 0);
    },

    configure(machine, registers) {
      const { cr0, cr2, gbpa, strtab_base, strtab_base_cfg } = { ...UNSAID, ...registers };
      machine.write32(CR2, Number(cr2));
      if (hasGbpa) machine.write32(GBPA, Number(gbpa) | UPDATE.lo);
      machine.write64(STRTAB_BASE, strtab_base);
      machine.write32(STRTAB_BASE_CFG, Number(strtab_base_cfg));
      // Commands of a world are those that were fetched.
      machine.write32(CR0, Number(cr0) | CMDQEN.lo);
    },

    command: (machine, words) => queues.put(machine, words),
    faultRecord: (machine) => queues.event(machine),
    answer,
  };
}

const TRANSLATED = /^smmuv3_translate_success .* translated=0x(\w+) /;
const UNTRANSLATED = /^smmuv3_translate_(?:bypass|disable) .* iova:0x(\w+) /;
const CLASSES = ["CD", "TT", "IN"];
const faultClass = TranslationEvent.reader("CLASS");

/** An event ends a request; so does a translation that was begun and of which nothing more is said. */
function answer(lines: readonly string[], _address: bigint, record: DataView | null): EmulatedAnswer | null {
  if (record !== null) return fault(record);
  const events = lines.map((line) => line.replace(/^.*?(?=smmuv3_)/, ""));
  const begun = events.filter((event) => event.startsWith("smmuv3_config_cache_")).length;
  const addresses = events.flatMap(
    (event) => (TRANSLATED.exec(event) ?? UNTRANSLATED.exec(event))?.[1] ?? [],
  );
  if (addresses.length < begun || events.some((event) => event.startsWith("smmuv3_translate_abort")))
    return { result: "fault", recorded: false };
  const [pa, ...furtherPages] = addresses.map((text) => BigInt(`0x${text}`));
  return pa === undefined ? null : { result: "ok", pa, furtherPages };
}

function fault(record: DataView): EmulatedAnswer {
  const stage = SMMUV3_FAULT_RECORD.stage?.(record);
  return {
    ...{ result: "fault", code: SMMUV3_FAULT_RECORD.code(record), recorded: true },
    ...(stage === undefined ? {} : { stage: stage as 1 | 2, faultClass: CLASSES[faultClass(record, 0)] }),
  };
}
