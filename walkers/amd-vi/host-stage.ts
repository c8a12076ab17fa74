import { AmdV1Walk } from "../page-tables/amd-v1.ts";
import { DENIED, type SecondStage, WALKED } from "../page-tables/stage.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { DeviceContext } from "./context.ts";
import type { EventReporter } from "./event-reporter.ts";

/** The v1 tables of one device: the only stage of a GPA, the second one of a GVA. */
export class HostStage implements SecondStage {
  frame = 0;
  pageShift = 0;
  perm = 0;
  readonly walk = new AmdV1Walk();
  readonly #tables: TableReader;
  readonly #events: EventReporter;
  #root = 0;
  #mode = 0;
  #granted = 0;
  #nested = false;

  constructor(tables: TableReader, events: EventReporter) {
    this.#tables = tables;
    this.#events = events;
  }

  /**
   * @param nested guest tables lie above: what is translated is not the request's own address
   */
  begin(device: DeviceContext, nested: boolean): void {
    this.#root = device.hostRoot;
    this.#mode = device.mode;
    this.#granted = device.perm;
    this.#nested = nested;
  }

  translate(hi: number, lo: number, access: number, _purpose: number, out: WalkResult): boolean {
    const walk = this.walk;
    const tables = this.#tables;
    const readsBefore = tables.reads;
    const status = walk.walk(tables, this.#root, this.#mode, hi, lo, this.#granted, hostAccess(access));
    if (status === WALKED) {
      this.frame = walk.frame;
      this.pageShift = walk.pageShift;
      this.perm = hostPerm(walk.perm);
      return true;
    }
    if (this.#nested) out.at(hi, lo);
    if (walk.disputed) out.disputed = true;
    if (status === DENIED && tables.reads === readsBefore) {
      // The device table entry's IR and IW: no entry of the tables has been read that could be to blame.
      out.stage = 2;
      return this.#events.denied(out);
    }
    return this.#events.walkFault(out, status, 2, walk.level, this.#mode, walk.reservedBits);
  }
}

/** Host tables know reads and writes: a read for execute is a read. */
export function hostAccess(access: number): number {
  return (access & WRITE) | ((access & (READ | EXECUTE)) !== 0 ? READ : 0);
}

/** READ | WRITE | EXECUTE that IR and IW amount to. */
export function hostPerm(perm: number): number {
  return (perm & READ) !== 0 ? perm | EXECUTE : perm;
}
