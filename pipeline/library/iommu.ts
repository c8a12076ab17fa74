import {
  ACCESS_BITS,
  ADDRESS_TYPE_OF,
  ADDRESS_TYPES,
  type AddressType,
} from "../../parsers/trace/accesses.ts";
import { Devices } from "../../parsers/trace/devices.ts";
import { Check } from "../../parsers/trace/field.ts";
import { RECORDS } from "../../parsers/trace/schema.ts";
import type { Fault, FaultReason } from "../../walkers/fault.ts";
import { IOMMU_MODELS, IOMMUS, type IommuModel, MODEL_OWNER, type TableModel } from "../../walkers/models.ts";
import type { VendorFields } from "../../walkers/pasid-tables/vendor-fields.ts";
import type { PropertyValue, Word64 } from "../../walkers/registers.ts";
import { EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { MSI, NO_LEVEL, OK } from "../../walkers/result.ts";
import type { Stage2Config } from "../../walkers/walker.ts";
import { byteAddress, joined } from "../../walkers/word64.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import { propertyProblem } from "../iommus/model-limits.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";
import { inspectRequest, type PageWalk } from "../walk/page-walk.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { frameAndOffset, Memory } from "./memory.ts";

/** Registers by the specification's name in lower case, and the capabilities that the host publishes. */
export interface IommuSettings {
  readonly registers?: Readonly<Record<string, bigint>>;
  readonly props?: Readonly<Record<string, PropertyValue>>;
}

/** A guest PASID table for one device: `pasid_table_config`. */
export interface PasidTable extends VendorFields {
  readonly model: TableModel;
  /** Guest-physical address of the table. */
  readonly base: bigint;
  /** Bounds the PASID; without it, what format and IOMMU allow. */
  readonly pasidBits?: number;
  /** Second stage; without it, the identity. */
  readonly stage2?: Omit<Stage2Config, "rootHi" | "rootLo"> & { readonly root: bigint };
}

/** A DMA request. */
export interface Request {
  /** A device's name as in a trace ("00:03.0", "sid:7"), or its number: requester id, StreamID, DeviceID, device_id. */
  readonly device: string | number;
  /** 0 to 2^20 - 1; without it, a request without PASID. */
  readonly pasid?: number;
  /** Input address, 64 bits. */
  readonly address: bigint;
  /** 1 to 2^32 - 1; default 1. */
  readonly bytes?: number;
  /** Read, write, atomic ("rw") or read for execute; default "r". */
  readonly access?: "r" | "w" | "rw" | "x";
  readonly privileged?: boolean;
  /** PCIe address type: `translated` by ATS, or a request for a translation; default `untranslated`. */
  readonly addressType?: AddressType;
}

/** A request that a correct IOMMU translates, or passes through. */
export interface Translated {
  readonly result: "ok";
  readonly model: TableModel;
  /** Physical runs that the request's bytes lie in, in order. */
  readonly runs: readonly { readonly address: bigint; readonly bytes: number }[];
  /** Bytes that one TLB entry of this translation would map; undefined where nothing was translated. */
  readonly pageBytes: number | undefined;
  /** Rights that the walk grants this kind of request. */
  readonly rights: { readonly read: boolean; readonly write: boolean; readonly execute: boolean };
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID. */
  readonly domain: number | undefined;
  /** Arm ASID, RISC-V PSCID. */
  readonly asid: number | undefined;
  /** No stage translated. */
  readonly passthrough: boolean;
  /** Memory reads of an uncached walk. */
  readonly reads: number;
}

/** A request that it refuses. */
export interface Faulted {
  readonly result: "fault";
  readonly model: TableModel;
  /** The specification's fault: code, name, what it means. */
  readonly fault: Fault;
  /** The generic reason; sometimes more precise than the fault's own. */
  readonly reason: FaultReason;
  /** 1 or 2, where a page table faulted. */
  readonly stage: number | undefined;
  readonly level: number | undefined;
  /** Arm: CD, TT or IN. */
  readonly class: string | undefined;
  /** The failing entry: `value` is undefined where it could not be read. */
  readonly entry: { readonly address: bigint; readonly value: bigint | undefined } | undefined;
  /** False where the specification writes no fault record. */
  readonly recorded: boolean;
  /** The fetch left all memory that there is. */
  readonly hole: boolean;
  /** Where the fault is. */
  readonly address: bigint;
  readonly reads: number;
}

/** An interrupt-range write: not translated as memory. */
export interface Interrupt {
  readonly result: "msi";
  readonly model: TableModel;
  readonly reads: number;
}

/** What a correct IOMMU does with a request. */
export type WalkOutcome = Translated | Faulted | Interrupt;

/**
 * One IOMMU over a guest memory. A device without a bound PASID table is walked from the registers (root table,
 * stream table, device table, device directory). A register that is not given reads as: translation enabled, and
 * every feature the walker knows present.
 */
export class Iommu {
  readonly model: IommuModel;
  readonly #unit: IommuUnit;
  readonly #devices = new Devices();
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();

  /** @throws LibraryError ("argument") for an unknown model */
  constructor(model: IommuModel, memory: Memory, settings: IommuSettings = {}) {
    if (!IOMMU_MODELS.includes(model)) throw unknownName("model", IOMMU_MODELS, model);
    if (!(memory instanceof Memory))
      throw new LibraryError("argument", `memory: expected a Memory, found ${typeof memory}`);
    this.model = model;
    this.#unit = new IommuUnit(undefined, model, memory.guest);
    this.configure(settings);
  }

  /** Changes registers and properties; those not named keep what they have. */
  configure(settings: IommuSettings): void {
    const { registers: given, props: published } = anObject("settings", settings);
    // Specifications write names in capitals, the trace contract in lower case.
    const registers = Object.entries(given ?? {}).map(
      ([name, value]) => [name.toLowerCase(), frameAndOffset(name, value)] as [string, Word64],
    );
    const props = Object.entries(published ?? {}).map(
      ([name, value]) => [name.toLowerCase(), value] as [string, PropertyValue],
    );
    for (const [name, value] of props) {
      const problem = propertyProblem(name, value);
      if (problem !== null) throw new LibraryError("argument", `props.${name}: ${problem}`);
    }
    this.#unit.configure(registers, props);
  }

  /**
   * Gives a device a guest PASID table: its walks start there.
   * @throws LibraryError ("binding") for a table that this IOMMU cannot walk
   */
  bind(device: string | number, table: PasidTable): void {
    const { model, base, stage2, ...rest } = anObject("table", table);
    if (!Object.hasOwn(MODEL_OWNER, model) || MODEL_OWNER[model] !== this.model)
      throw new LibraryError("binding", `model: expected a table of ${this.model}, found ${model}`);
    const at = frameAndOffset("base", base);
    const root = stage2 && frameAndOffset("stage2.root", anObject("stage2", stage2).root);
    checkTable(table);
    const problem = this.#unit.bind(this.#deviceNumber(device), {
      ...rest,
      model,
      baseHi: at.hi,
      baseLo: at.lo,
      stage2: stage2 && root && { ...stage2, rootHi: root.hi, rootLo: root.lo },
    });
    if (problem !== undefined) throw new LibraryError("binding", problem);
  }

  /** @returns false where the device has no binding */
  unbind(device: string | number): boolean {
    return this.#unit.unbind(this.#deviceNumber(device));
  }

  /** What a correct IOMMU does with a request, from the tables as they are now. */
  walk(request: Request): WalkOutcome {
    const bytes = this.#take(request);
    walkRequest(this.#unit.engine, this.#request, bytes, this.#outcome);
    return outcomeOf(this.#outcome, request.address);
  }

  /** Every structure that the walk of a request reads, page by page. */
  inspect(request: Request): PageWalk[] {
    return inspectRequest(this.#unit, this.#request, this.#take(request));
  }

  #take(given: Request): number {
    const { pasid, bytes = 1, access = "r", addressType = "untranslated" } = anObject("request", given);
    if (!Object.hasOwn(ACCESS_BITS, access)) throw unknownName("access", Object.keys(ACCESS_BITS), access);
    if (!Object.hasOwn(ADDRESS_TYPE_OF, addressType))
      throw unknownName("addressType", ADDRESS_TYPES, addressType);
    if (pasid !== undefined && !(Number.isInteger(pasid) && pasid >= 0 && pasid < 2 ** 20))
      throw new LibraryError("argument", `pasid: expected 0 to ${2 ** 20 - 1}, found ${pasid}`);
    if (!(Number.isInteger(bytes) && bytes >= 1 && bytes < 2 ** 32))
      throw new LibraryError("argument", `bytes: expected 1 to ${2 ** 32 - 1}, found ${bytes}`);
    const address = frameAndOffset("address", given.address);
    frameAndOffset("address + bytes - 1", given.address + BigInt(bytes) - 1n);
    const request = this.#request;
    request.device = this.#deviceNumber(given.device);
    request.pasid = pasid ?? NO_PASID;
    request.addrHi = address.hi;
    request.addrLo = address.lo;
    request.access = ACCESS_BITS[access];
    request.priv = given.privileged ?? false;
    request.at = ADDRESS_TYPE_OF[addressType];
    request.binding = this.#unit.binding(request.device);
    return bytes;
  }

  #deviceNumber(device: string | number): number {
    const bits = IOMMUS[this.model].device.bits;
    const parsed =
      typeof device === "number"
        ? { id: device }
        : typeof device === "string"
          ? this.#devices.parse(device)
          : "syntax";
    if (typeof parsed !== "string") {
      const { id } = parsed;
      if (Number.isInteger(id) && id >= 0 && id < 2 ** bits) return id;
      throw new LibraryError("argument", `device: expected an id of ${bits} bits, found ${device}`);
    }
    throw new LibraryError(
      "argument",
      `device: expected a name such as "00:03.0" or "sid:7", found ${JSON.stringify(device)}`,
    );
  }
}

function anObject<T extends object>(name: string, value: T): T {
  if (typeof value === "object" && value !== null) return value;
  throw new LibraryError(
    "argument",
    `${name}: expected an object, found ${value === null ? "null" : typeof value}`,
  );
}

/** The fields of a table are those of a `bind` record, of the same ranges. */
function checkTable({ model, pasidBits, arm, amd, intel, riscv, stage2 }: PasidTable): void {
  const given = { model, base_ptr: "0x0", pasid_bits: pasidBits, arm, amd, intel, riscv };
  const check = new Check(new Devices());
  RECORDS.bind.fields.config.read({ ...given, stage2: stage2 && { ...stage2, root: "0x0" } }, "table", check);
  if (!check.ok) throw new LibraryError("argument", check.message.replace("pasid_bits", "pasidBits"));
}

function outcomeOf(o: Outcome, address: bigint): WalkOutcome {
  const { model, reads } = o;
  if (o.status === MSI) return { result: "msi", model, reads };
  if (o.status !== OK) return faultOf(o, address);
  return {
    result: "ok",
    model,
    runs: Array.from({ length: o.runs }, (_, i) => ({
      address: byteAddress(o.runFrame[i]!, o.runOffset[i]!),
      bytes: o.runBytes[i]!,
    })),
    pageBytes: o.pageShift === 0 ? undefined : 2 ** o.pageShift,
    rights: {
      read: (o.perm & READ) !== 0,
      write: (o.perm & WRITE) !== 0,
      execute: (o.perm & EXECUTE) !== 0,
    },
    domain: o.domain < 0 ? undefined : o.domain,
    asid: o.asid < 0 ? undefined : o.asid,
    passthrough: o.passthrough,
    reads,
  };
}

function faultOf(o: Outcome, address: bigint): Faulted {
  return {
    result: "fault",
    model: o.model,
    fault: o.fault!,
    reason: o.reason,
    stage: o.stage === 0 ? undefined : o.stage,
    level: o.level === NO_LEVEL ? undefined : o.level,
    class: o.faultClass === "" ? undefined : o.faultClass,
    entry:
      o.entryFrame < 0
        ? undefined
        : {
            address: byteAddress(o.entryFrame, o.entryOffset),
            value: o.entryKnown ? joined(o.entryHi, o.entryLo) : undefined,
          },
    recorded: o.recorded,
    hole: o.hole,
    address: o.hasFaultAddr ? joined(o.faultHi, o.faultLo) : address,
    reads: o.reads,
  };
}
