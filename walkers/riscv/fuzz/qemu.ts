/**
 * QEMU's riscv-iommu-pci, driven by its registers and queues (RISC-V IOMMU 1.0, "Memory-mapped register interface"), in
 * 10.0 and 11.1. What no `edu` device can ask, its translation-request interface is asked.
 */
import {
  type EmulatedAnswer,
  type EmulatedMachine,
  type EmulatorDriver,
  FUNCTIONS,
} from "../../fuzz/emulator.ts";
import { RISCV_FAULT_RECORD } from "../fault-record.ts";
import { DDTP_BARE } from "../registers.ts";
import { askForTranslation } from "./translation-requests.ts";

/** Function 00:01.0, and where its registers are put. */
const FUNCTION = 0x8;
const BAR0 = 0x10;
const COMMAND = 0x4;
/** Memory space and bus master. */
const ENABLED = 0x6;
const UNIT = 0x4100_0000n;
const CAPABILITIES = UNIT;
const FCTL = UNIT + 0x8n;
const DDTP = UNIT + 0x10n;
const CQB = UNIT + 0x18n;
const CQT = UNIT + 0x24n;
const FQB = UNIT + 0x28n;
const FQH = UNIT + 0x30n;
const FQT = UNIT + 0x34n;
const CQCSR = UNIT + 0x48n;
const FQCSR = UNIT + 0x4cn;

/** cqen and fqen; what stopped a queue is cleared when it is switched on. */
const QUEUE_ON = 1;
const RAM = 0x8000_0000n;
const MEMORY = { base: RAM + 0x140_0000n, bytes: 0x2c0_0000n } as const;
/** What its cache has invalidated stays in it until it is full, and each command looks at all of it. */
const IOATC_ENTRIES = 1024;
/** Before this version tr_response.PPN lacked its low bits. */
const TELLS_PPN = 10.1;
/** Where it boots from. */
const ROM = { base: 0x1000n, bytes: 0xf000n } as const;
/** Memory that is no world's: both queues. */
const COMMANDS = RAM + 0x10_0000n;
const COMMAND_BYTES = 16;
const COMMANDS_LOG2 = 8;
const FAULTS = RAM + 0x20_0000n;
/** Room for all of one request: a copy that is refused goes on, with a record for each of its bytes at worst. */
const FAULTS_LOG2 = 12;
const FAULT_BYTES = 32;
/**
 * Below the memory and above it: what it boots from, registers of devices, and flash and the windows of PCIe, which are read as ones
 * where no device is. And what is in queues.
 */
const FOREIGN = [
  { base: ROM.base, bytes: RAM - ROM.base },
  { base: 0x4_0000_0000n, bytes: 0x4_0000_0000n },
  { base: COMMANDS, bytes: BigInt(COMMAND_BYTES << COMMANDS_LOG2) },
  { base: FAULTS, bytes: BigInt(FAULT_BYTES << FAULTS_LOG2) },
] as const;
const queueBase = (address: bigint, log2: number) => ((address >> 12n) << 10n) | BigInt(log2 - 1);

/** IODIR.INVAL_DDT, IOTINVAL.VMA and IOTINVAL.GVMA without operands: of everything. */
const EVERYTHING = [0x3n, 0x1n, 0x1n | (1n << 7n)] as const;
/** Ids beyond those of its devices, of two and three levels of the directory. */
const WIDE_IDS = [0x3, 0x5a1, 0x1_2345] as const;
const PAGE = 0xfffn;

/** A processor that does nothing: `wfi` and back to it. */
function firmware(): Uint8Array {
  const bytes = new Uint8Array(4096);
  new DataView(bytes.buffer).setUint32(0, 0x1050_0073, true);
  new DataView(bytes.buffer).setUint32(4, 0xffdf_f06f, true);
  return bytes;
}

/** Both queues of one machine. */
class Queues {
  #tail = 0;
  #head = 0;

  /** Both are empty, and nothing has stopped them. */
  begin(machine: EmulatedMachine): void {
    this.#tail = 0;
    this.#head = 0;
    machine.write32(CQCSR, 0);
    machine.write32(FQCSR, 0);
    machine.write64(CQB, queueBase(COMMANDS, COMMANDS_LOG2));
    machine.write64(FQB, queueBase(FAULTS, FAULTS_LOG2));
    machine.write32(CQCSR, QUEUE_ON);
    machine.write32(FQCSR, QUEUE_ON);
  }

  put(machine: EmulatedMachine, words: readonly bigint[]): void {
    const at = COMMANDS + BigInt(COMMAND_BYTES * this.#tail);
    for (const i of [0, 1]) machine.write64(at + BigInt(8 * i), words[i] ?? 0n);
    this.#tail = (this.#tail + 1) % 2 ** COMMANDS_LOG2;
    machine.write32(CQT, this.#tail);
  }

  /** The first fault since the last call. Where there would be one is read at once, since waiting takes longer. */
  async fault(machine: EmulatedMachine): Promise<DataView | null> {
    const { bytes } = RISCV_FAULT_RECORD;
    const [pointer, record] = await Promise.all([
      machine.read32(FQT),
      machine.readBytes(FAULTS + BigInt(bytes * this.#head), bytes),
    ]);
    const tail = pointer % 2 ** FAULTS_LOG2;
    if (tail === this.#head) return null;
    this.#head = tail;
    machine.write32(FQH, tail);
    return new DataView(record.buffer, record.byteOffset, bytes);
  }
}

export function qemuRiscv(): EmulatorDriver {
  const queues = new Queues();
  /** Its translation-request interface tells where a translation leads. */
  let tells = true;
  return {
    architecture: "riscv64",
    name: "riscv-iommu-pci",
    since: 9.2,
    machine(version) {
      tells = version >= TELLS_PPN;
      return ["-M", "virt", "-device", `riscv-iommu-pci,addr=1.0,ioatc-limit=${IOATC_ENTRIES}`];
    },
    props: () => ({}),
    limits: {
      devices: [...FUNCTIONS, ...WIDE_IDS],
      // Its translations know of no execution, and take process_id 0 for none.
      accesses: ["r", "w", "rw"],
      pasid: true,
      priv: true,
      leastPasid: 1,
      foreign: FOREIGN,
    },
    untold: (version) =>
      version < TELLS_PPN ? ["where requests lead that no device makes: tr_response has not all of it"] : [],
    events: ["riscv_iommu_dma"],
    devices: FUNCTIONS,
    memory: MEMORY,
    firstByte: RAM,
    ram: [ROM, { base: RAM, bytes: MEMORY.base + MEMORY.bytes - RAM }],
    ecam: 0x3000_0000n,
    window: 0x4000_0000n,
    firmware: firmware(),

    prepare(machine) {
      machine.writeConfig(FUNCTION, BAR0, Number(UNIT));
      machine.writeConfig(FUNCTION, BAR0 + 4, 0);
      machine.writeConfig(FUNCTION, COMMAND, ENABLED);
      machine.write64(DDTP, BigInt(DDTP_BARE));
    },

    async identify(machine) {
      return {
        capabilities: await machine.read64(CAPABILITIES),
        fctl: BigInt(await machine.read32(FCTL)),
      };
    },

    async reset(machine) {
      machine.write64(DDTP, 0n);
      queues.begin(machine);
      for (const word of EVERYTHING) queues.put(machine, [word]);
    },

    configure(machine, { ddtp = 0n }) {
      machine.write64(DDTP, ddtp);
    },

    command: (machine, words) => queues.put(machine, words),
    faultRecord: (machine) => queues.fault(machine),
    answer,

    ask: (machine, request) => askForTranslation(machine, UNIT, request, tells, () => queues.fault(machine)),
  };
}

const TRANSLATED = /^riscv_iommu_dma .* 0x(\w+) -> 0x(\w+)/;

/**
 * The event is of faults as well: these have a record, unless DTF suppresses it, and lead nowhere, or since 11 where they
 * came from, or where the first stage leads whose output the second one refuses.
 */
function answer(
  lines: readonly string[],
  address: bigint,
  record: DataView | null,
  write: boolean,
): EmulatedAnswer | null {
  if (record !== null) return { result: "fault", code: RISCV_FAULT_RECORD.code(record), recorded: true };
  const pages = lines
    .map((line) => TRANSLATED.exec(line.replace(/^.*?(?=riscv_iommu_)/, "")))
    .filter((match) => match !== null)
    .map(([, iova, output]) => {
      const input = BigInt(`0x${iova}`);
      const asked = address > input ? address : input;
      return { asked, pa: (BigInt(`0x${output}`) & ~PAGE) | (asked & PAGE) };
    });
  const [first, ...further] = pages;
  if (first === undefined || pages.some(({ pa }) => pa <= PAGE)) return null;
  return {
    result: "ok",
    pa: first.pa,
    furtherPages: further.map(({ pa }) => pa),
    cached: true,
    // Whether bytes have arrived tells the same of most writes.
    unsure: pages.filter(({ asked, pa }) => !write || asked === pa).map(({ asked }) => asked),
  };
}
