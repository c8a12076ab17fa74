/** What fuzzer and device say to each other beside records of a trace (docs/dut-protocol.md). */

import { isObject } from "../../parsers/trace/field.ts";
import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import { show } from "../../parsers/trace/show.ts";
import { didYouMean, meant } from "../../parsers/trace/unknown-names.ts";
import { type Limits, NO_LIMITS } from "../../walkers/fuzz/world.ts";
import { deviceName, IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { propertyProblem } from "../iommus/model-limits.ts";

export const PROTOCOL_VERSION = 1;
/** Requests without an answer that a device takes at once, where it does not say. */
const DEFAULT_WINDOW = 1;
const MOST_WINDOW = 2 ** 16;

/** Who says nothing of address types knows nothing of them. */
const UNTRANSLATED_ALONE = ["untranslated"] as const;

export interface Hello {
  readonly name: string;
  readonly model: IommuModel;
  readonly window: number;
  readonly limits: Limits;
}

/** A line of a device means nothing. */
export class ProtocolError extends Error {}

export function helloOfFuzzer(): string {
  return JSON.stringify({ type: "hello", protocol: PROTOCOL_VERSION, producer: "pasid-replay" });
}

/** What a device says first. */
export function helloOfDevice({ name, model, window, limits }: Hello): string {
  const { base, bytes } = limits.memory;
  const supports = {
    regs: Object.fromEntries(Object.entries(limits.regs).map(([register, value]) => [register, hex(value)])),
    props: limits.props,
    devices: limits.devices.map((id) => deviceName(model, id)),
    memory: { base: hex(base), size: hex(bytes) },
    pages_in_memory: limits.pagesInMemory,
    access: limits.accesses,
    at: limits.addressTypes,
    pasid: limits.pasid,
    priv: limits.priv,
    untranslated: limits.untranslated,
    len: limits.len,
  };
  return JSON.stringify({ type: "hello", protocol: PROTOCOL_VERSION, name, model, window, supports });
}

/** @throws ProtocolError */
export function readHello(line: string): Hello {
  const given = parsed(line);
  if (given.type !== "hello") throw wrong("a hello", line);
  if (given.protocol !== PROTOCOL_VERSION)
    throw new ProtocolError(`hello.protocol: expected ${PROTOCOL_VERSION}, found ${show(given.protocol)}`);
  const { model, name, window, supports } = given;
  if (!IOMMU_MODELS.includes(model as IommuModel))
    throw new ProtocolError(`hello.model: expected one of ${IOMMU_MODELS.join(", ")}, found ${show(model)}`);
  if (window !== undefined && !isCount(window, MOST_WINDOW))
    throw new ProtocolError(`hello.window: expected 1 to ${MOST_WINDOW}, found ${show(window)}`);
  refuseMisspelt("hello", given, ["type", "protocol", "name", "model", "window", "supports"]);
  return {
    name: typeof name === "string" ? name : "a device",
    model: model as IommuModel,
    window: (window as number | undefined) ?? DEFAULT_WINDOW,
    limits: limitsOf(model as IommuModel, isObject(supports) ? supports : {}),
  };
}

/** What a device says beside what is asked is its own affair, unless it is most likely meant to be heard. */
function refuseMisspelt(what: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    const near = known.includes(name) ? undefined : meant(name, known);
    if (near !== undefined)
      throw new ProtocolError(`${what}: expected known fields, found ${show(name)}${didYouMean(near)}`);
  }
}

const SUPPORTS = "regs props devices memory pages_in_memory access pasid priv untranslated len".split(" ");
/** Least memory that the tables of a world fit in, and where all memory ends: physical addresses have 52 bits at most. */
const LEAST_MEMORY = 2n ** 16n;
const MEMORY_END = 2n ** 52n;
const MOST_LENGTH = 2 ** 32 - 1;

function limitsOf(model: IommuModel, given: Readonly<Record<string, unknown>>): Limits {
  refuseMisspelt("hello.supports", given, SUPPORTS);
  const read = new SupportsReader(given);
  const { regs, props } = given;
  const problem = problemOf({ type: "iommu", id: "iommu", model, regs, props });
  if (problem !== "") throw new ProtocolError(`hello.supports.${problem.replace(/^iommu\./, "")}`);
  for (const [name, value] of Object.entries(read.object("props"))) {
    const wrong = propertyProblem(name, value);
    if (wrong !== null) throw new ProtocolError(`hello.supports.props.${name}: ${wrong}`);
  }
  return {
    regs: Object.fromEntries(
      Object.entries(read.object("regs")).map(([name, value]) => [name, read.number(`regs.${name}`, value)]),
    ),
    props: read.object("props") as Limits["props"],
    devices: read.devices(),
    memory: read.memory(),
    pagesInMemory: read.flag("pages_in_memory", NO_LIMITS.pagesInMemory),
    accesses: read.kinds("access", NO_LIMITS.accesses, NO_LIMITS.accesses),
    addressTypes: read.kinds("at", NO_LIMITS.addressTypes, UNTRANSLATED_ALONE),
    pasid: read.flag("pasid", NO_LIMITS.pasid),
    leastPasid: NO_LIMITS.leastPasid,
    priv: read.flag("priv", NO_LIMITS.priv),
    untranslated: read.flag("untranslated", NO_LIMITS.untranslated),
    len: read.length(),
    untold: NO_LIMITS.untold,
  };
}

class SupportsReader {
  readonly #given: Readonly<Record<string, unknown>>;

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  object(name: string): Readonly<Record<string, unknown>> {
    const value = this.#given[name];
    if (value === undefined) return {};
    if (!isObject(value)) throw this.#wrong(name, "an object", value);
    return value;
  }

  number(name: string, value: unknown): bigint {
    if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/i.test(value))
      throw this.#wrong(name, 'a number such as "0x1000"', value);
    return BigInt(value);
  }

  flag(name: string, absent: boolean): boolean {
    const value = this.#given[name];
    if (value === undefined) return absent;
    if (typeof value !== "boolean") throw this.#wrong(name, "true or false", value);
    return value;
  }

  memory(): Limits["memory"] {
    const memory = this.object("memory");
    if (this.#given.memory === undefined) return NO_LIMITS.memory;
    const base = this.number("memory.base", memory.base);
    const bytes = this.number("memory.size", memory.size);
    if (bytes < LEAST_MEMORY) throw this.#wrong("memory.size", `at least ${hex(LEAST_MEMORY)}`, hex(bytes));
    if (base + bytes > MEMORY_END)
      throw this.#wrong("memory", `an end at ${hex(MEMORY_END)} at most`, hex(base + bytes));
    return { base, bytes };
  }

  length(): number {
    const { len } = this.#given;
    if (len === undefined) return NO_LIMITS.len;
    if (!isCount(len, MOST_LENGTH)) throw this.#wrong("len", `1 to ${MOST_LENGTH}`, len);
    return len;
  }

  /** A list of some of the kinds that there are. */
  kinds<T extends string>(name: string, known: readonly T[], absent: readonly T[]): readonly T[] {
    const value = this.#given[name];
    if (value === undefined) return absent;
    if (!Array.isArray(value) || value.length === 0 || !value.every((one) => known.includes(one)))
      throw this.#wrong(name, `a list of ${known.join(", ")}`, value);
    return value as T[];
  }

  devices(): readonly number[] {
    const value = this.#given.devices;
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.#wrong("devices", "a list of names", value);
    const { devices } = new TraceNames();
    return value.map((name) => {
      const device = typeof name === "string" ? devices.parse(name) : "syntax";
      if (typeof device === "string") throw this.#wrong("devices", 'names such as "00:03.0"', name);
      return device.id;
    });
  }

  #wrong(name: string, expected: string, found: unknown): ProtocolError {
    return new ProtocolError(`hello.supports.${name}: expected ${expected}, found ${show(found)}`);
  }
}

/**
 * The answer to a request.
 * @param seq of the request that is answered
 * @returns undefined: the device cannot make such a request
 * @throws ProtocolError
 */
export function readAnswer(line: string, seq: number): DeviceAnswer | undefined {
  const { type, seq: answered, ...observed } = parsed(line);
  if (type !== "observed") throw wrong(`the answer to request ${seq}`, line);
  if (answered !== seq) throw new ProtocolError(`observed.seq: expected ${seq}, found ${show(answered)}`);
  if (observed.result === "skipped") return undefined;
  const problem = problemOf({ type: "dma", dev: "devid:0", addr: "0x0", observed });
  if (problem !== "") throw new ProtocolError(problem.replace(/^dma\./, ""));
  if (observed.result === "ok" && observed.pa === undefined)
    throw new ProtocolError(`observed.pa: expected an address, found none in ${show(line)}`);
  return observed as unknown as DeviceAnswer;
}

/** What is wrong with a record of a trace, "" where nothing is. */
function problemOf(record: object): string {
  let problem = "";
  const handler = {
    dma() {},
    mem() {},
    record() {},
    unknown() {},
    error(_line: number, _code: string, message: string) {
      problem = message;
    },
  };
  new RecordTeller(new TraceNames(), handler).validated(1, record);
  return problem;
}

/** @throws ProtocolError */
export function readReset(line: string): void {
  if (parsed(line).type !== "reset") throw wrong("an answer to reset", line);
}

function parsed(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    if (isObject(value)) return value;
  } catch {
    // Said below.
  }
  throw wrong("a JSON object", line);
}

function wrong(expected: string, found: string): ProtocolError {
  return new ProtocolError(`expected ${expected}, found ${show(found)}`);
}

function isCount(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most;
}
