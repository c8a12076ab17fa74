import type { Fault } from "../../walkers/fault.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import { FRAME_MASK, frameOf } from "../../walkers/memory.ts";
import type { IommuState } from "../../walkers/registers.ts";
import {
  NO_PASID,
  READ,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  WalkRequest,
  WRITE,
} from "../../walkers/request.ts";
import { FAULT, OK, WalkResult } from "../../walkers/result.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { CachingUnit } from "./caching-unit.ts";
import type { HabitName } from "./habits.ts";
import { Misdecoder } from "./misdecoder.ts";
import { Misreader } from "./misreader.ts";

/** What is left of a PASID and of an address by those who look at a part of it. */
const PASID_MASK = 0xff;
const ADDRESS_HI_MASK = 0x7fff;

/** The address of a request is what it says. */
function passing({ addrHi, addrLo }: WalkRequest): WalkResult {
  const walk = new WalkResult();
  walk.frame = frameOf(addrHi, addrLo);
  walk.offset = addrLo & FRAME_MASK;
  walk.passthrough = true;
  return walk;
}

/** One IOMMU of the device: a walker that sees what the device's mistakes leave of the world. */
export class MistakenUnit {
  readonly caches: CachingUnit;
  readonly #unit: IommuUnit;
  readonly #bugs: readonly Bug[];
  readonly #habits: ReadonlySet<HabitName>;
  readonly #misreader: Misreader;
  readonly #reports: Readonly<Record<string, Fault>>;
  readonly #request = new WalkRequest();

  constructor(unit: IommuUnit, bugs: readonly Bug[], habits: ReadonlySet<HabitName>) {
    this.#unit = unit;
    this.#bugs = bugs;
    this.#habits = habits;
    const cacheKey = bugs.find((bug) => bug.cacheKey !== undefined)?.cacheKey;
    this.caches = new CachingUnit(unit.walker, unit.vendor.caching, habits, cacheKey);
    this.#misreader = new Misreader(unit.walker.tables, bugs);
    if (this.#misreader.needed) unit.walker.tables.observer = this.#misreader;
    new Misdecoder(bugs).meet([unit]);
    this.#reports = Object.assign({}, ...bugs.map(({ reports = {} }) => reports));
    this.configure();
  }

  /** Registers or properties have changed. */
  configure(): void {
    const changes = this.#bugs.flatMap(({ registers = {} }) => Object.entries(registers));
    if (changes.length === 0) return;
    const state = this.#unit.state.clone();
    for (const [name, { layout, values }] of changes) {
      for (const field of Object.keys(values)) state.props.delete(field.toLowerCase());
      if (!state.has(name)) continue;
      const view = new DataView(new ArrayBuffer(8));
      view.setInt32(0, state.lo(name), true);
      view.setInt32(4, state.hi(name), true);
      layout.encode(values, view, 0);
      state.setRegister(name, view.getBigUint64(0, true));
    }
    this.#unit.walker.configure(state);
  }

  reconfigured(before: IommuState, written: string): void {
    this.caches.reconfigured(before, this.#unit.state, written);
  }

  /** What a request of one page gets. */
  walk(request: WalkRequest): WalkResult {
    if (request.at === TRANSLATED && this.#habits.has("translated-trusted")) return passing(request);
    const asked = this.#asked(request);
    const walk = this.#ordered(asked, this.caches.walk(asked));
    const reported = walk.status === FAULT ? this.#reports[walk.fault!.name] : undefined;
    const cut = walk.status === OK && this.#habits.has("frame-32-bits") && walk.frame >= 2 ** 32;
    const tells = request.at === TRANSLATION_REQUEST && this.#habits.has("completion-recorded");
    if (reported === undefined && !cut && !tells) return walk;
    const changed = new WalkResult();
    changed.copyFrom(walk);
    if (reported !== undefined) changed.fault = reported;
    changed.frame %= 2 ** 32;
    changed.recorded ||= tells;
    return changed;
  }

  /** The request as the device takes it. */
  #asked(request: WalkRequest): WalkRequest {
    const habits = this.#habits;
    const asked = this.#request;
    Object.assign(asked, request);
    if (habits.has("privilege-ignored")) asked.priv = false;
    if (habits.has("atomic-as-read") && request.access === (READ | WRITE)) asked.access = READ;
    if (habits.has("execute-as-read") && (request.access & (READ | WRITE)) === 0) asked.access = READ;
    if (habits.has("pasid-8-bits") && request.pasid !== NO_PASID) asked.pasid &= PASID_MASK;
    if (habits.has("address-47-bits")) asked.addrHi &= ADDRESS_HI_MASK;
    const plain = habits.has("translation-request-checked") && request.at === TRANSLATION_REQUEST;
    if (plain || habits.has("address-type-ignored")) asked.at = UNTRANSLATED;
    return asked;
  }

  /** Where checks come late: what the request meets before them. */
  #ordered(request: WalkRequest, walk: WalkResult): WalkResult {
    const misreader = this.#misreader;
    if (walk.status !== FAULT || !misreader.late || walk.reason !== "BAD_PTE") return walk;
    misreader.blind = true;
    const blind = new CachingUnit(this.#unit.walker, this.#unit.vendor.caching, new Set()).walk(request);
    misreader.blind = false;
    return blind.status === FAULT ? blind : walk;
  }
}
