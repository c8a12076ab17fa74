import { MappingIndex, type Moment, type SoftwareMapping } from "./mapping-index.ts";

/** A `map` record. */
export interface MapRecord {
  /** PCI name; undefined where the source does not say for whom. */
  readonly dev?: string | undefined;
  readonly addr: bigint;
  readonly size: bigint;
  readonly pa?: bigint | undefined;
  readonly access?: "r" | "w" | "rw" | undefined;
}

/** A request that was refused. */
export interface RefusedRequest {
  readonly dev: string;
  readonly addr: bigint;
  /** Bytes from `addr` on that the request may have been about: a page where the log has only that. */
  readonly span: bigint;
  readonly access: "r" | "w" | "rw" | "x" | undefined;
}

/**
 * What software had done with the address of a request that was refused:
 * - `use-after-unmap`: it was mapped for the device, and is no longer;
 * - `wrong-direction`: it is mapped, for the other direction only;
 * - `beyond-buffer`: the device went past the end of a buffer;
 * - `other-device`: it is mapped for another device;
 * - `mapped`: it is mapped for the device, and the request should have been granted;
 * - `never-mapped`: nothing was mapped there, as far as the trace goes back;
 * - `not-traced`: the trace has no mappings for the device at all.
 */
export type FaultCause =
  | "use-after-unmap"
  | "wrong-direction"
  | "beyond-buffer"
  | "other-device"
  | "mapped"
  | "never-mapped"
  | "not-traced";

export interface FaultHistory {
  readonly cause: FaultCause;
  /** The mapping that tells; undefined for `never-mapped` and `not-traced`. */
  readonly mapping: SoftwareMapping | undefined;
  /** `beyond-buffer`: bytes between the end of the buffer and the address. */
  readonly beyond: bigint | undefined;
  /** More mappings of the address stand than it was told from: the latest alone were looked at. */
  readonly crowded?: boolean;
  /** Where nothing tells: mappings that are no longer remembered, of which one may have. */
  readonly forgotten?: number;
}

/** How far past a buffer's end a request is still put down to it. */
const NEAR = 4096n;
/** Mappings of one address of which a part stands on when it is undone; more of one address are a mistake of the trace. */
const MAX_CUT = 16;
/** What mappings may take where nobody says. */
const DEFAULT_BYTES = 2 ** 26;
/** Devices that are told apart. */
const MAX_DEVICES = 1 << 16;
/** Mappings of one address, of a device or of others, that a fault is told from: the latest of those that stand, and that have ended. */
const MOST_TOLD = 64;

/** Keeps what software mapped and unmapped, in the order of a trace, to tell of a fault what came before it. */
export class MappingHistory {
  readonly #index: MappingIndex;
  readonly #devices = new Set<string>();

  /** @param bytes that it may take */
  constructor(bytes = DEFAULT_BYTES) {
    this.#index = new MappingIndex(bytes);
  }

  /** Mappings that are no longer remembered. */
  get forgotten(): number {
    return this.#index.forgotten;
  }

  map({ dev, addr, size, pa, access }: MapRecord, made: Moment): void {
    const name = dev === undefined ? "" : deviceKey(dev);
    if (this.#devices.size < MAX_DEVICES) this.#devices.add(name);
    this.#index.add({ dev: name, addr, size, pa, access, made, ended: null });
  }

  /** What is left of a mapping that is undone in part stands on. */
  unmap({ dev, addr, size }: MapRecord, at: Moment): void {
    const name = dev === undefined ? "" : deviceKey(dev);
    const end = addr + size;
    const hit = this.#index
      .standing(name, addr, end)
      .filter((mapping) => overlaps(mapping, addr, end))
      .sort((a, b) => a.made.line - b.made.line);
    const isWhole = (mapping: SoftwareMapping) => mapping.addr >= addr && mapping.addr + mapping.size <= end;
    // Of the latest: of the others it is known that they are undone somewhere.
    const inPart = new Set(hit.filter((mapping) => !isWhole(mapping)).slice(-MAX_CUT));
    for (const mapping of hit)
      if (inPart.has(mapping)) this.#cut(mapping, addr, end, at);
      else this.#index.end(mapping, at);
  }

  #cut(mapping: SoftwareMapping, from: bigint, to: bigint, at: Moment): void {
    const last = mapping.addr + mapping.size;
    this.#index.remove(mapping);
    const part = (begin: bigint, end: bigint): SoftwareMapping | undefined => {
      if (begin >= end) return undefined;
      const pa = mapping.pa === undefined ? undefined : mapping.pa + (begin - mapping.addr);
      const piece = { ...mapping, addr: begin, size: end - begin, pa, ended: null };
      this.#index.add(piece);
      return piece;
    };
    part(mapping.addr, from);
    part(to, last);
    const gone = part(max(mapping.addr, from), min(last, to));
    if (gone !== undefined) this.#index.end(gone, at);
  }

  /**
   * What came before a fault.
   * @param at when it happened: what is known to have happened later does not count
   */
  of({ dev, addr, span, access }: RefusedRequest, at: Moment): FaultHistory {
    const name = deviceKey(dev);
    const end = addr + span;
    const near = (whose: string | null, from: bigint) => this.#index.latest(whose, from, end, MOST_TOLD);
    const then = (mappings: readonly SoftwareMapping[]) => mappings.flatMap((one) => asOf(one, at));
    const own = near(name, addr - NEAR);
    const crowded = own[MOST_TOLD - 1]?.ended === null;
    const found = ofOwn(then(own), addr, end, access);
    if (found !== undefined) return crowded ? { ...found, crowded } : found;
    const other = then(near(null, addr)).find(
      (m) => m.dev !== name && m.dev !== "" && m.ended === null && overlaps(m, addr, end),
    );
    if (other !== undefined) return history("other-device", other);
    // Changes of page tables that name no device.
    const nobodys = then(near("", addr)).filter((mapping) => overlaps(mapping, addr, end));
    const standing = nobodys.find((mapping) => mapping.ended === null);
    if (standing !== undefined) return history("mapped", standing);
    const ended = latest(nobodys);
    if (ended !== undefined) return history("use-after-unmap", ended);
    const traced = this.#devices.has(name) || this.#devices.has("");
    const none = history(traced ? "never-mapped" : "not-traced", undefined);
    return this.forgotten === 0 ? none : { ...none, forgotten: this.forgotten };
  }
}

/** A mapping as it was at a time: none where it was made later, standing where it ended later. */
function asOf(mapping: SoftwareMapping, at: Moment): SoftwareMapping[] {
  if (isAfter(mapping.made, at)) return [];
  return [mapping.ended !== null && isAfter(mapping.ended, at) ? { ...mapping, ended: null } : mapping];
}

/** Whether a moment is later than another: lines of different logs do not compare, times do. */
function isAfter(a: Moment, b: Moment): boolean {
  return a.seconds !== undefined && b.seconds !== undefined && a.seconds > b.seconds;
}

function ofOwn(
  own: readonly SoftwareMapping[],
  addr: bigint,
  end: bigint,
  access: RefusedRequest["access"],
): FaultHistory | undefined {
  const touched = own.filter((mapping) => overlaps(mapping, addr, end));
  const standing = touched.filter((mapping) => mapping.ended === null);
  const granted = standing.find((mapping) => grants(mapping, access));
  if (granted !== undefined) return history("mapped", granted);
  if (standing[0] !== undefined) return history("wrong-direction", standing[0]);
  const ended = latest(touched);
  if (ended !== undefined) return history("use-after-unmap", ended);
  const before = own
    .filter((mapping) => mapping.addr + mapping.size <= addr && addr - (mapping.addr + mapping.size) < NEAR)
    .sort((a, b) => Number(b.ended === null) - Number(a.ended === null));
  const past = before[0];
  return past && { cause: "beyond-buffer", mapping: past, beyond: addr - (past.addr + past.size) };
}

function grants({ access: may }: SoftwareMapping, access: RefusedRequest["access"]): boolean {
  if (may === undefined || may === "rw" || access === undefined) return true;
  return may === (access === "x" ? "r" : access);
}

function latest(mappings: readonly SoftwareMapping[]): SoftwareMapping | undefined {
  return mappings.reduce<SoftwareMapping | undefined>(
    (found, mapping) =>
      mapping.ended !== null && (found === undefined || mapping.ended.line > found.ended!.line)
        ? mapping
        : found,
    undefined,
  );
}

function overlaps({ addr, size }: SoftwareMapping, from: bigint, to: bigint): boolean {
  return addr < to && from < addr + size;
}

function history(cause: FaultCause, mapping: SoftwareMapping | undefined): FaultHistory {
  return { cause, mapping, beyond: undefined };
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** A PCI name with its segment. */
function deviceKey(dev: string): string {
  return /^[0-9a-f]{2}:/i.test(dev) ? `0000:${dev.toLowerCase()}` : dev.toLowerCase();
}
