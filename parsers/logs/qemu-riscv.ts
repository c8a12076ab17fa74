/**
 * The RISC-V IOMMU of QEMU 9.2 to 11.1 by its trace events riscv_iommu_* (hw/riscv/trace-events). They show requests with
 * their direction and process_id, faults with the record's first word, and commands with both words; no table at all.
 */

import { readers } from "../../walkers/commands/command-set.ts";
import { pciName } from "../../walkers/pci.ts";
import { Iotinval } from "../../walkers/riscv/commands.ts";
import { FaultRecord } from "../../walkers/riscv/fault-record.ts";
import { Determined } from "./determined.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { UNKNOWN_TABLES } from "./losses.ts";
import { EventReader, hexOf, partsOf, writtenRegister } from "./qemu-events.ts";
import {
  answerOf,
  cmdText,
  dmaText,
  type LoggedRequest,
  observedFault,
  observedOk,
  timed,
} from "./record-text.ts";
import { TableBuilder } from "./table-builder.ts";

export const QEMU_RISCV: LogFormat = {
  name: "qemu-riscv",
  title: "QEMU 9.2 to 11.1: trace events riscv_iommu_* of the log backend",
  model: "riscv",
  needles: ["riscv_iommu_", " ddtp 0x"],
  detect: (text) => /^(?:riscv_iommu_[a-z]|iotab_register \S+ ddtp )/.test(text),
  open: (output) => new RiscvEvents(output),
};

const RISCV_ID = "riscv-iommu";
/** What QEMU prints for a device that is on no bus. */
const NO_ID = "(null)";
/** IOMMUs of one machine. */
const MAX_IOMMUS = 64;
const TOO_MANY: Loss = {
  what: "iommus",
  severity: "warning",
  message: `lines of further IOMMUs are left out: ${MAX_IOMMUS} are told apart`,
};

const cause = FaultRecord.reader("CAUSE");
const pv = FaultRecord.reader("PV");
const pid = FaultRecord.reader("PID");
const priv = FaultRecord.reader("PRIV");
const ttyp = FaultRecord.reader("TTYP");
const did = FaultRecord.reader("DID");

/** The access of a transaction type (FaultRecord.TTYP); translated requests and others are none that is replayed. */
const ACCESS_OF_TTYP: Readonly<Record<number, "x" | "r" | "w">> = { 1: "x", 2: "r", 3: "w" };
const ACCESS_OF_TEXT: Readonly<Record<string, "r" | "w" | "rw">> = { RO: "r", WR: "w", RW: "rw" };
/** A request that grants nothing: QEMU asks for nothing but a fault. */
const NO_ACCESS = "NA";

/** Commands that change no table of any request, and those that are about one page (walkers/riscv/commands.ts). */
const IOTINVAL = 1;
const IOFENCE = 2;
const VMA = 0;
const inval = readers(Iotinval, ["OPCODE", "FUNC3", "AV", "S", "ADDR"]);

const ASSUMED = '["len"]';
/** The answer's page is in the log, and not the offset in it. */
const ASSUMED_PA = '["len","pa"]';

/** One IOMMU, and the fault that its next line about the device repeats as a translation to itself. */
interface Unit {
  readonly iommu: LogIommu;
  /** Where memory is given: which requests' tables are known. */
  readonly determined: Determined | null;
  faultDevice: string;
  faultAddr: string;
}

class RiscvEvents implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;
  readonly #units = new Map<string, Unit>();
  readonly #header = new DataView(new ArrayBuffer(FaultRecord.bytes));

  constructor(output: LogOutput) {
    this.#output = output;
    this.#reader = new EventReader(output, {
      riscv_iommu_dma: (args, line) => this.#translate(args, line),
      riscv_iommu_flt: (args, line) => this.#fault(args, line),
      riscv_iommu_cmd: (args) => this.#command(args),
      iotab_register: (args) => this.#register(args),
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  /** @returns null where there are too many of them */
  #unit(id: string): Unit | null {
    const name = id === NO_ID ? RISCV_ID : id;
    let unit = this.#units.get(name);
    if (unit === undefined) {
      if (this.#units.size >= MAX_IOMMUS) {
        this.#output.lost(TOO_MANY);
        return null;
      }
      const iommu = new LogIommu(this.#output, name, "riscv");
      const determined =
        this.#output.memory && this.#wasRead(name)
          ? new Determined(this.#output, iommu, new TableBuilder(this.#output))
          : null;
      unit = { iommu, determined, faultDevice: "", faultAddr: "" };
      this.#units.set(name, unit);
    }
    return unit;
  }

  /** Its registers are known, or may be: beside the log stand not those of all IOMMUs, or not by the names in it. */
  #wasRead(id: string): boolean {
    const { hosts } = this.#output;
    return hosts.some((host) => host.id === id) || !hosts.some(({ exact }) => exact);
  }

  /** "ID NAME VALUE": QEMU has no event of registers; who starts it with a plugin sees them written. */
  #register(args: string): void {
    const { id, name, value } = writtenRegister(args);
    this.#unit(id)?.iommu.set(name, value);
  }

  /** "ID: translate BBBB:DD.F #PASID DIR IOVA -> PA": the bus has four digits. */
  #translate(args: string, line: LogLine): void {
    const [, id, bus, slot, fn, pasid, direction, from, to] = partsOf(
      /^([\w().:-]+): translate ([0-9a-f]{4}):([0-9a-f]{2})\.(\d) #(\d{1,7}) (RO|WR|RW|NA) (0x[0-9a-f]{1,16}) -> (0x[0-9a-f]{1,16})$/,
      args,
    );
    const unit = this.#unit(id!);
    if (unit === null) return;
    const device = deviceId(bus!, slot!, fn!);
    const dev = idName(device);
    const addr = hexOf(from);
    const repeats = unit.faultDevice === dev && unit.faultAddr === addr && hexOf(to) === addr;
    if (unit.faultDevice === dev) unit.faultDevice = "";
    if (repeats || direction === NO_ACCESS) {
      this.#output.ignored(repeats ? "riscv_iommu_dma of a fault" : "riscv_iommu_dma without access");
      return;
    }
    const process = Number(pasid);
    const given = process > 0 ? { pasid: process } : {};
    const access = ACCESS_OF_TEXT[direction!]!;
    // A translation from QEMU's cache is printed by its page.
    const answer = answerOf(addr, hexOf(to));
    const assumed = answer.exact ? ASSUMED : ASSUMED_PA;
    const request = { dev, addr, access, ...given, observed: observedOk(answer.pa), assumed };
    this.#dma(unit, line, request, device, BigInt(answer.pa));
  }

  /** The first word of the fault record says who and how. */
  #fault(args: string, line: LogLine): void {
    const [, id, bus, slot, fn, header, iova] = partsOf(
      /^([\w().:-]+): fault ([0-9a-f]{4}):([0-9a-f]{2})\.(\d) reason: (0x[0-9a-f]{1,16}) iova: (0x[0-9a-f]{1,16})$/,
      args,
    );
    const unit = this.#unit(id!);
    if (unit === null) return;
    const record = this.#header;
    record.setBigUint64(0, BigInt(header!), true);
    const access = ACCESS_OF_TTYP[ttyp(record, 0)];
    const requester = deviceId(bus!, slot!, fn!);
    const named = idName(requester);
    const addr = hexOf(iova);
    unit.faultDevice = named;
    unit.faultAddr = addr;
    const device = did(record, 0) === 0 ? requester : did(record, 0);
    const dev = idName(device);
    const code = cause(record, 0);
    const given = pv(record, 0) === 1 ? { pasid: pid(record, 0), priv: priv(record, 0) === 1 } : {};
    if (access !== undefined && this.#output.memory) {
      const request = { dev, addr, access, ...given, observed: observedFault(code), assumed: ASSUMED };
      this.#dma(unit, line, request, device, null);
      return;
    }
    unit.iommu.declare();
    const fields = {
      iommu: unit.iommu.id,
      dev,
      addr,
      access,
      pasid: given.pasid,
      code: `0x${code.toString(16)}`,
    };
    this.#output.record("fault", timed("fault", fields, line.ts));
  }

  #command(args: string): void {
    const [, id, first, second] = partsOf(
      /^([\w().:-]+): command (0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16})$/,
      args,
    );
    const unit = this.#unit(id!);
    if (unit === null) return;
    const { iommu, determined } = unit;
    iommu.declare();
    if (determined !== null) noteCommand(determined, BigInt(first!), BigInt(second!));
    this.#output.record("cmd", cmdText(iommu.id, [hexOf(first), hexOf(second)]));
  }

  /** @param pa the answer, null for a fault */
  #dma(
    unit: Unit,
    { ts }: LogLine,
    request: Omit<LoggedRequest, "iommu" | "ts">,
    device: number,
    pa: bigint | null,
  ): void {
    if (unit.determined === null) {
      this.#output.lost(UNKNOWN_TABLES);
      return;
    }
    const { addr, access, pasid } = request;
    if (!unit.determined.has({ device, pasid, addr: BigInt(addr), access, given: true }, pa)) return;
    unit.iommu.declare();
    this.#output.record("dma", dmaText({ iommu: unit.iommu.id, ...request, ts }));
  }
}

function deviceId(bus: string, slot: string, fn: string): number {
  return (Number.parseInt(bus, 16) << 8) | ((Number.parseInt(slot, 16) & 0x1f) << 3) | (Number(fn) & 7);
}

/** What a command invalidates, as far as tables are concerned. */
function noteCommand(determined: Determined, first: bigint, second: bigint): void {
  const view = new DataView(new ArrayBuffer(Iotinval.bytes));
  view.setBigUint64(0, first, true);
  view.setBigUint64(8, second, true);
  const opcode = inval.OPCODE(view, 0);
  if (opcode === IOFENCE) return;
  const onePage = opcode === IOTINVAL && inval.FUNC3(view, 0) === VMA && inval.S(view, 0) === 0;
  if (onePage && inval.AV(view, 0) === 1) determined.page(BigInt(inval.ADDR(view, 0)) << 12n);
  else determined.everything();
}

/** A PCI name where the id is that of a PCI function. */
function idName(id: number): string {
  return id < 1 << 16 ? pciName(id) : `did:0x${id.toString(16)}`;
}
