import type { TraceHandler } from "../../parsers/trace/record-source.ts";
import type { DmaRecord, MemRecord } from "../../parsers/trace/records.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import { ACCEPTED } from "../../walkers/invalidation.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { OK, type WalkResult } from "../../walkers/result.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import { aim } from "../iommus/iommus.ts";
import { advance, bytesToPageEnd } from "../iommus/request-walk.ts";
import { DEFAULT_OPTIONS } from "../replay/options.ts";
import { RecordedSystem } from "../replay/recorded-system.ts";
import { type DeviceAnswer, deviceAnswer } from "./answer.ts";
import type { HabitName } from "./habits.ts";
import { MistakenUnit } from "./mistaken-unit.ts";

/** A record that the device cannot use. */
export class DeviceError extends Error {}

/** What a device is asked to do wrong: nothing by default. */
export interface Mistakes {
  readonly bugs: readonly Bug[];
  readonly habits: ReadonlySet<HabitName>;
}

/**
 * A device that answers requests from our own walkers, with caches, and with mistakes where it is told to make them. Fed
 * with the records of a trace; what it answers to the last request is in `answer`.
 */
export class TestDevice implements TraceHandler {
  readonly names = new TraceNames();
  answer: DeviceAnswer | null = null;
  readonly #mistakes: Mistakes;
  readonly #system: RecordedSystem;
  readonly #units = new Map<IommuUnit, MistakenUnit>();
  readonly #request = new WalkRequest();

  constructor(mistakes: Mistakes) {
    this.#mistakes = mistakes;
    this.#system = new RecordedSystem(this.names, { ...DEFAULT_OPTIONS, caches: false, findings: false });
  }

  dma(_line: number, record: DmaRecord): void {
    const { habits } = this.#mistakes;
    const route = this.#system.iommus.route(record);
    if ("code" in route) throw new DeviceError(route.message);
    const request = this.#request;
    aim(request, route, record);
    const unit = this.#unitOf(route.unit);
    const first = unit.walk(request);
    let answer = deviceAnswer(first);
    let left = record.len - bytesToPageEnd(request, first);
    let walk: WalkResult = first;
    while (walk.status === OK && left > 0 && !habits.has("first-page-only")) {
      advance(request, bytesToPageEnd(request, walk));
      walk = unit.walk(request);
      if (walk.status !== OK) answer = deviceAnswer(walk);
      left -= bytesToPageEnd(request, walk);
    }
    this.answer = answer;
  }

  mem(_line: number, record: MemRecord): void {
    this.#check(this.#system.write(record));
  }

  record(_line: number, record: PlainRecord): void {
    const units = record.type === "reg" ? this.#system.iommus.units : [];
    const before = units.map((unit) => [unit, unit.state.clone()] as const);
    this.#check(this.#system.take(record));
    switch (record.type) {
      case "iommu":
      case "reg":
        for (const unit of this.#system.iommus.units) this.#unitOf(unit).configure();
        if (record.type === "reg")
          for (const [unit, state] of before) this.#unitOf(unit).reconfigured(state, record.name);
        break;
      case "bind":
      case "unbind":
        for (const unit of this.#units.values()) unit.caches.forget();
        break;
      case "cmd": {
        const unit = this.#system.iommus.named("cmd", record.iommu);
        if (!(unit instanceof IommuUnit)) return;
        const invalidation = unit.commands.invalidation(record.data);
        if (invalidation?.status === ACCEPTED) this.#unitOf(unit).caches.invalidate(invalidation);
        break;
      }
      case "inv": {
        const neutral = this.#system.invalidation(record);
        if ("code" in neutral) return;
        for (const unit of neutral.units) this.#unitOf(unit).caches.invalidate(neutral.invalidation);
        break;
      }
    }
  }

  unknown(): void {
    // As a replay does: what is not known changes nothing.
  }

  error(_line: number, _code: string, message: string): void {
    throw new DeviceError(message);
  }

  close(): void {
    this.#system.close();
  }

  #unitOf(unit: IommuUnit): MistakenUnit {
    let mistaken = this.#units.get(unit);
    if (mistaken === undefined) {
      mistaken = new MistakenUnit(unit, this.#mistakes.bugs, this.#mistakes.habits);
      this.#units.set(unit, mistaken);
    }
    return mistaken;
  }

  #check(problem: { readonly message: string } | null): void {
    if (problem !== null) throw new DeviceError(problem.message);
  }
}
