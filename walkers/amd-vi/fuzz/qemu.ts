/** QEMU's amd-iommu, driven by its registers (AMD 48882, 3.4) and rings (2.4, 2.5); its trace events are those of 7.2 to 11.1. */
import {
  type EmulatedAnswer,
  type EmulatedMachine,
  type EmulatorDriver,
  FUNCTIONS,
} from "../../fuzz/emulator.ts";
import {
  haltingFirmware,
  X86_FOREIGN,
  X86_MEMORY,
  X86_OWN,
  X86_RAM,
  X86_WINDOW,
} from "../../fuzz/x86-machine.ts";
import { AMD_VI_FAULT_RECORD } from "../fault-record.ts";
import {
  DEV_TAB_HARDWARE_ERROR,
  ILLEGAL_DEV_TABLE_ENTRY,
  INVALID_DEVICE_REQUEST,
  IO_PAGE_FAULT,
  PAGE_TAB_HARDWARE_ERROR,
} from "../faults.ts";
import { ControlRegister } from "../registers.ts";

const UNIT = 0xfed8_0000n;
const DEV_TAB_BASE = UNIT;
const CMD_BUF_BASE = UNIT + 0x8n;
const EVENT_LOG_BASE = UNIT + 0x10n;
const CONTROL = UNIT + 0x18n;
const EFR = UNIT + 0x30n;
const EFR2 = UNIT + 0x1a0n;
const CMD_BUF_TAIL = UNIT + 0x2008n;
const EVENT_LOG_HEAD = UNIT + 0x2010n;
const EVENT_LOG_TAIL = UNIT + 0x2018n;
const STATUS = UNIT + 0x2020n;
/** Status.EventLogInt. */
const EVENT_INT = 2n;

/** Memory that is no world's: both rings, of 256 entries, and where their bases say so. */
const COMMANDS = X86_OWN.base;
const EVENTS = COMMANDS + 0x1_0000n;
const RING_BYTES = 4096;
const COMMAND_BYTES = 16;
const RING_LENGTH = 8n << 56n;

/** 2.4.8, 2.4.2: INVALIDATE_IOMMU_ALL, INVALIDATE_DEVTAB_ENTRY. */
const INVALIDATE_ALL = 8n << 60n;
const INVALIDATE_ENTRY = 2n << 60n;

/** Since when translation has to be asked for. */
const REMAP_VERSION = 10.1;
/** Events are put into the log, but its tail does not move. */
const LAST_UNLOGGED = 10.0;
const ENABLED = BigInt(ControlRegister.mask.IOMMUEN.lo);
const COMMANDS_ON = BigInt(ControlRegister.mask.CMDBUFEN.lo);
/** What a trace that says nothing of the register means. */
const UNSAID_CONTROL = ENABLED | BigInt(ControlRegister.mask.EVENTLOGEN.lo);
/** Codes of events that a request causes; others are of commands. */
const REQUEST_EVENTS = [
  ILLEGAL_DEV_TABLE_ENTRY,
  IO_PAGE_FAULT,
  DEV_TAB_HARDWARE_ERROR,
  PAGE_TAB_HARDWARE_ERROR,
  INVALID_DEVICE_REQUEST,
].map(({ code }) => code);

/** Both rings of one machine. */
class Rings {
  #tail = 0;
  #read = 0;

  /** Both are empty. */
  begin(machine: EmulatedMachine): void {
    this.#tail = 0;
    machine.write64(CMD_BUF_BASE, COMMANDS | RING_LENGTH);
    this.#forget(machine);
  }

  /** Whatever is in the event log is no request's: a command may log the entry that it looks at. */
  #forget(machine: EmulatedMachine): void {
    this.#read = 0;
    // While its interrupt bit is set, QEMU does not take a base.
    machine.write64(STATUS, EVENT_INT);
    machine.write64(EVENT_LOG_BASE, EVENTS | RING_LENGTH);
  }

  put(machine: EmulatedMachine, words: readonly bigint[]): void {
    for (const i of [0, 1]) machine.write64(COMMANDS + BigInt(this.#tail + 8 * i), words[i] ?? 0n);
    this.#tail = (this.#tail + COMMAND_BYTES) % RING_BYTES;
    machine.write64(CMD_BUF_TAIL, BigInt(this.#tail));
    this.#forget(machine);
  }

  /** The first event of a request since the last call. */
  async event(machine: EmulatedMachine): Promise<DataView | null> {
    const tail = Number(await machine.read64(EVENT_LOG_TAIL)) % RING_BYTES;
    let found: DataView | null = null;
    const { bytes, code } = AMD_VI_FAULT_RECORD;
    for (; this.#read !== tail; this.#read = (this.#read + bytes) % RING_BYTES) {
      if (found !== null) continue;
      const record = await machine.readBytes(EVENTS + BigInt(this.#read), bytes);
      const view = new DataView(record.buffer, record.byteOffset, bytes);
      if (REQUEST_EVENTS.includes(code(view))) found = view;
    }
    machine.write64(EVENT_LOG_HEAD, BigInt(tail));
    return found;
  }
}

export function qemuAmd(): EmulatorDriver {
  const rings = new Rings();
  let control = 0n;
  return {
    architecture: "x86_64",
    name: "amd-iommu",
    machine(version) {
      return [
        "-M",
        "q35",
        "-device",
        `amd-iommu,intremap=off${version > REMAP_VERSION ? ",dma-remap=on" : ""}`,
      ];
    },
    props: () => ({}),
    logsFaults: (version) => version > LAST_UNLOGGED,
    // Events do not tell pages from each other, and none tells of what V=0 lets through.
    limits: { untranslated: false, len: 1, foreign: X86_FOREIGN },
    events: ["amdvi_translation_result", "amdvi_cache_update", "amdvi_iotlb_hit"],
    devices: FUNCTIONS,
    memory: X86_MEMORY,
    firstByte: 0n,
    ram: X86_RAM,
    ecam: null,
    window: X86_WINDOW,
    firmware: haltingFirmware(),

    async identify(machine) {
      return { efr: await machine.read64(EFR), efr2: await machine.read64(EFR2) };
    },

    async reset(machine) {
      machine.write64(CONTROL, 0n);
      rings.begin(machine);
      machine.write64(CONTROL, ENABLED | COMMANDS_ON);
      rings.put(machine, [INVALIDATE_ALL]);
      machine.write64(CONTROL, 0n);
    },

    configure(machine, { control: given = UNSAID_CONTROL, dev_tab_base = 0x1ffn }) {
      // Commands of a world are those that were fetched.
      control = given | COMMANDS_ON;
      machine.write64(DEV_TAB_BASE, dev_tab_base);
      machine.write64(CONTROL, control | ENABLED);
      // It begins to translate where it is told that an entry may have changed.
      for (const device of FUNCTIONS) rings.put(machine, [INVALIDATE_ENTRY | BigInt(device)]);
      rings.put(machine, [INVALIDATE_ALL]);
      machine.write64(CONTROL, control);
    },

    forward(machine, all) {
      machine.write64(CONTROL, all ? 0n : control);
    },
    command: (machine, words) => rings.put(machine, words),
    faultRecord: (machine) => rings.event(machine),
    answer,
  };
}

const PAGE = 0x1000n;
const RESULT = /^amdvi_translation_result .* gpa 0x\w+ hpa 0x(\w+)/;
const HELD = /^amdvi_(?:cache_update|iotlb_hit)/;

/**
 * What is not cached is denied, unless it goes where it came from: before 11 an entry with V=0, which lets all through, is
 * told of as one that is invalid. Whatever else the lines tell of may be of a command before: QEMU looks at the entry that
 * it is told to invalidate.
 */
function answer(lines: readonly string[], address: bigint, record: DataView | null): EmulatedAnswer | null {
  if (record !== null) return { result: "fault", code: AMD_VI_FAULT_RECORD.code(record), recorded: true };
  const events = lines.map((line) => line.replace(/^.*?(?=amdvi_)/, ""));
  const result = events.map((event) => RESULT.exec(event)).find((match) => match !== null);
  if (!result) return null;
  const page = BigInt(`0x${result[1]}`);
  const held = events.some((event) => HELD.test(event));
  // Where nothing is translated, nothing can be told of the first page: a fault has address 0 as well.
  if (page === 0n && address < PAGE && !held) return null;
  const passes = page !== 0n && page === (address & ~(PAGE - 1n));
  if (!passes && !held) return { result: "fault", recorded: false };
  return { result: "ok", places: placesOf(page, address) };
}

/** Where an address may lie, by a page of which only the beginning is known. */
function placesOf(page: bigint, address: bigint): bigint[] {
  const places = new Set<bigint>();
  for (let shift = 12n; shift < 52n; shift++) {
    const offset = (1n << shift) - 1n;
    if ((page & offset) !== 0n) break;
    places.add(page | (address & offset));
  }
  return [...places];
}
