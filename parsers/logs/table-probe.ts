import { WalkEngine } from "../../walkers/engine.ts";
import type { Layout } from "../../walkers/layout.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { OK, type WalkResult } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";
import type { LogIommu } from "./log-iommu.ts";
import { hexOfBig } from "./table-builder.ts";

/** A table entry that a walk has read. */
export interface ProbedEntry {
  /** 0x and hex digits. */
  readonly addr: string;
  /** Its first 64 bits; null in a hole. */
  readonly value: bigint | null;
  /** 1 or 2; 0 for a context or PASID structure. */
  readonly stage: number;
  readonly level: number;
}

/** A request to look up. */
export interface ProbedRequest {
  readonly device: number;
  readonly pasid?: number | undefined;
  readonly addr: bigint;
  readonly access: string;
  /** The log says which access it was. */
  readonly given?: boolean;
}

/** Looks up what tables in known memory say of a request, and which entries say it. */
export class TableProbe implements WalkObserver {
  /** What the last walk read, in order. */
  entries: ProbedEntry[] = [];
  readonly #iommu: LogIommu;
  readonly #engine: WalkEngine;
  readonly #request = new WalkRequest();
  #version = -1;

  constructor(iommu: LogIommu, memory: GuestMemory) {
    this.#iommu = iommu;
    this.#engine = new WalkEngine(VENDORS[iommu.model].walker(memory));
    this.#engine.walker.tables.observer = this;
  }

  /** @returns a result that stays valid until the next call */
  walk({ device, pasid, addr, access }: ProbedRequest): WalkResult {
    const engine = this.#engine;
    if (this.#version !== this.#iommu.version) {
      this.#version = this.#iommu.version;
      engine.walker.configure(this.#iommu.state);
    }
    // What is cached is not read, and what is not read is not seen.
    engine.drop();
    this.entries = [];
    const request = this.#request;
    request.device = device;
    request.pasid = pasid ?? NO_PASID;
    request.addrHi = Number(BigInt.asIntN(32, addr >> 32n));
    request.addrLo = Number(BigInt.asIntN(32, addr));
    request.access = access === "w" ? WRITE : access === "rw" ? READ | WRITE : READ;
    return engine.walk(request);
  }

  /** The address that the last walk gave, or null for a fault. */
  static answer(result: WalkResult): bigint | null {
    return result.status === OK ? (BigInt(result.frame) << 12n) | BigInt(result.offset) : null;
  }

  entry(
    _layout: Layout,
    frame: number,
    offset: number,
    view: DataView | null,
    at: number,
    stage: number,
    level: number,
  ): void {
    const value = view === null || view.byteLength < at + 8 ? null : view.getBigUint64(at, true);
    const addr = hexOfBig((BigInt(frame) << 12n) + BigInt(offset));
    this.entries.push({ addr, value, stage, level });
  }
}
