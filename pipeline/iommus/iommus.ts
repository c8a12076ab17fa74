import type { ErrorCode } from "../../parsers/trace/reader.ts";
import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import { hostTableModel, IOMMUS, type IommuModel, MODEL_OWNER } from "../../walkers/models.ts";
import { vendorFieldsOf } from "../../walkers/pasid-tables/vendor-fields.ts";
import type { Binding, WalkRequest } from "../../walkers/request.ts";
import type { UnitCaches } from "../caches/unit-caches.ts";
import { IommuUnit } from "./iommu-unit.ts";
import { propertyProblem } from "./model-limits.ts";
import type { RequestNames } from "./request-names.ts";

/** Where a pair of (IOMMU, device) of `dma` records leads: looked up once per pair, until something is declared. */
export interface Route {
  readonly unit: IommuUnit;
  /** The device's identity (all its spellings share it). */
  readonly device: number;
  /** Requester id, StreamID, DeviceID or device_id. */
  readonly id: number;
  readonly binding: Binding | null;
  /** IOMMU and device in the output. */
  readonly names: RequestNames;
  /** It holds while nothing has been declared, bound or unbound since. */
  readonly version: number;
}

/** Makes a request of a record, but for its length: a walk is of one page. */
export function aim(request: WalkRequest, route: Route, record: DmaRecord): void {
  request.device = route.id;
  request.pasid = record.pasid;
  request.addrHi = record.addrHi;
  request.addrLo = record.addrLo;
  request.access = record.access;
  request.priv = record.priv;
  request.at = record.at;
  request.binding = route.binding;
}

/** Why a record cannot be used: what an `error` record says. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
}

/** IOMMUs of one trace: each that is used keeps some 40 KB. The largest machines have a few dozen. */
const MAX_IOMMUS = 1 << 12;
/** Registers of one IOMMU, and properties: all are looked through when one changes. */
const MAX_NAMES = 1 << 10;

/** The IOMMUs that a trace declares, their registers and their bindings: what `dma` records refer to. */
export class Iommus {
  readonly #memory: GuestMemory;
  readonly #names: TraceNames;
  readonly #newCaches: ((unit: IommuUnit) => UnitCaches) | null;
  /** The trace, where several are replayed into one output. */
  readonly #trace: string | undefined;
  readonly #units: IommuUnit[] = [];
  readonly #byId = new Map<string, IommuUnit>();
  /** By IOMMU number + 1, then by device number. */
  readonly #routes: (Route | undefined)[][] = [];
  #version = 0;
  /** Pairs of an IOMMU's and a device's names so far. */
  #pairs = 0;

  constructor(
    memory: GuestMemory,
    names: TraceNames,
    newCaches: ((unit: IommuUnit) => UnitCaches) | null = null,
    trace: string | undefined = undefined,
  ) {
    this.#trace = trace;
    this.#memory = memory;
    this.#names = names;
    this.#newCaches = newCaches;
  }

  /** In order of declaration. */
  get units(): readonly IommuUnit[] {
    return this.#units;
  }

  /** Cached entries that were forgotten for want of memory. */
  get forgotten(): number {
    return this.#units.reduce((sum, { caches }) => sum + (caches?.forgotten ?? 0), 0);
  }

  /** Declares an IOMMU, or adds registers and properties to one. */
  declare(record: RecordOf<"iommu">): Problem | null {
    for (const [name, value] of record.props ?? []) {
      const problem = propertyProblem(name, value);
      if (problem !== null)
        return {
          code: typeof value === "number" ? "range" : "schema",
          message: `iommu.props.${name}: ${problem}`,
        };
    }
    const known = this.#byId.get(record.id);
    const names = new Set([...(known?.state.props.keys() ?? []), ...(record.props?.keys() ?? [])]);
    const registers = new Set([...(known?.state.registers.keys() ?? []), ...(record.regs?.keys() ?? [])]);
    if (names.size > MAX_NAMES || registers.size > MAX_NAMES)
      return {
        code: "range",
        message: `iommu: expected at most ${MAX_NAMES} registers and as many properties, found more`,
      };
    if (known !== undefined && known.model !== record.model)
      return schema(
        `iommu.model: expected ${known.model}, as the earlier declaration of ${quote(record.id)} says, found ${record.model}`,
      );
    if (known === undefined && this.#units.length === MAX_IOMMUS)
      return {
        code: "range",
        message: `iommu: expected at most ${MAX_IOMMUS} IOMMUs, found another one, ${quote(record.id)}`,
      };
    const unit = known ?? this.#add(record.id, record.model);
    if (known === undefined) this.#byId.set(record.id, unit);
    unit.configure(record.regs ?? [], record.props ?? []);
    this.#version++;
    return null;
  }

  setRegister(record: RecordOf<"reg">): Problem | null {
    const unit = this.named("reg", record.iommu);
    if (!(unit instanceof IommuUnit)) return unit;
    const { registers } = unit.state;
    if (registers.size >= MAX_NAMES && !registers.has(record.name))
      return {
        code: "range",
        message: `reg: expected at most ${MAX_NAMES} registers of an IOMMU, found another one`,
      };
    unit.write(record.name, record.value);
    return null;
  }

  bind(record: RecordOf<"bind">): Problem | null {
    const given = record.config.model;
    const unit =
      record.iommu === undefined ? (this.#only() ?? this.#implied(given)) : this.named("bind", record.iommu);
    if (!(unit instanceof IommuUnit)) return unit;
    // The IOMMU walks its own format whatever the configuration claims: a host that binds by pointer never looks.
    const model = given === "host" || MODEL_OWNER[given] !== unit.model ? hostTableModel(unit.model) : given;
    const { base_ptr: base, pasid_bits: pasidBits, stage2 } = record.config;
    const problem = unit.bind(record.dev.canonical, {
      model,
      baseHi: base.hi,
      baseLo: base.lo,
      pasidBits,
      ...vendorFieldsOf(record.config),
      stage2: stage2 && { ...stage2, rootHi: stage2.root.hi, rootLo: stage2.root.lo },
    });
    unit.caches?.rebound(record.dev.id);
    this.#version++;
    return problem === undefined ? null : schema(`bind.config: ${problem}`);
  }

  unbind(record: RecordOf<"unbind">): Problem | null {
    let bound = false;
    if (record.iommu === undefined) {
      for (const unit of this.#units) bound = this.#unbindFrom(unit, record) || bound;
    } else {
      const unit = this.named("unbind", record.iommu);
      if (!(unit instanceof IommuUnit)) return unit;
      bound = this.#unbindFrom(unit, record);
    }
    this.#version++;
    return bound
      ? null
      : schema(`unbind.dev: expected a device with a binding, found ${quote(record.dev.text)}`);
  }

  #unbindFrom(unit: IommuUnit, { dev }: RecordOf<"unbind">): boolean {
    const bound = unit.unbind(dev.canonical);
    if (bound) unit.caches?.rebound(dev.id);
    return bound;
  }

  /** Where a request leads: by its own words, or because there is no choice. */
  route(record: DmaRecord): Route | Problem {
    const known = this.#routes[record.iommu + 1]?.[record.dev];
    return known !== undefined && known.version === this.#version ? known : this.#newRoute(record);
  }

  /** The IOMMU that a record of a type is about: by its own words, or because there is no choice. */
  of(type: string, id: string | undefined, device: number): IommuUnit | Problem {
    if (id !== undefined) return this.named(type, id);
    return this.#only() ?? this.#units.find((unit) => unit.binding(device) !== null) ?? this.#unclear(type);
  }

  /** The IOMMU that a record of a type names. */
  named(type: string, id: string): IommuUnit | Problem {
    return (
      this.#byId.get(id) ??
      schema(`${type}.iommu: expected the id of an iommu record before this line, found ${quote(id)}`)
    );
  }

  #newRoute(record: DmaRecord): Route | Problem {
    const device = this.#names.devices.get(record.dev);
    const id = record.iommu >= 0 ? this.#names.iommus.text(record.iommu) : undefined;
    const unit = this.of("dma", id, device.canonical);
    if (!(unit instanceof IommuUnit)) return unit;
    const bits = IOMMUS[unit.model].device.bits;
    if (device.id >= 2 ** bits)
      return {
        code: "range",
        message: `dma.dev: expected an id of ${bits} bits behind ${unit.model}, found ${quote(device.text)}`,
      };
    const routes = this.#routes[record.iommu + 1] ?? [];
    this.#routes[record.iommu + 1] = routes;
    const old = routes[record.dev];
    const route: Route = {
      unit,
      device: device.canonical,
      id: device.id,
      binding: unit.binding(device.canonical),
      names:
        old?.unit === unit
          ? old.names
          : { index: this.#pairs++, iommu: unit.id, device: device.text, trace: this.#trace },
      version: this.#version,
    };
    routes[record.dev] = route;
    return route;
  }

  /** The IOMMU, where there is just one. */
  #only(): IommuUnit | undefined {
    return this.#units.length === 1 ? this.#units[0] : undefined;
  }

  /** The IOMMU that a binding implies where none is declared: one of the table's vendor, with every feature. */
  #implied(model: RecordOf<"bind">["config"]["model"]): IommuUnit | Problem {
    if (this.#units.length > 0) return this.#unclear("bind");
    if (model === "host")
      return schema(
        "bind.config.model: host is the format of the IOMMU that the device sits behind: expected an iommu record before this line, found none",
      );
    return this.#add(undefined, MODEL_OWNER[model]);
  }

  #add(id: string | undefined, model: IommuModel): IommuUnit {
    const unit = new IommuUnit(id, model, this.#memory);
    unit.caches = this.#newCaches?.(unit) ?? null;
    this.#units.push(unit);
    return unit;
  }

  #unclear(type: string): Problem {
    const count = this.#units.length;
    return schema(
      count === 0
        ? `${type}: expected an iommu or a bind record before this line, found none`
        : `${type}.iommu: expected the id of one of the ${count} declared IOMMUs, found no such field`,
    );
  }
}

function schema(message: string): Problem {
  return { code: "schema", message };
}

function quote(text: string): string {
  return JSON.stringify(text);
}
