import type { UnitPlace } from "../../parsers/caps/host.ts";
import {
  QEMU_IOMMUS,
  type QemuIommu,
  type RegisterPlace,
  type SeveralUnits,
} from "../../parsers/logs/qemu-iommus.ts";
import { commandLineOf, ProcessMemory, processBehind } from "../../parsers/qemu/host-process.ts";
import { memoryDevices } from "../../parsers/qemu/memory-devices.ts";
import {
  configSpaceOf,
  functionsOf,
  hostAddressOf,
  type MemoryRegion,
  memoryWords,
  ramOf,
  regionsFrom,
  regionsNamed,
} from "../../parsers/qemu/monitor-text.ts";
import { type QmpClient, QmpError, socketAddress } from "../../parsers/qemu/qmp.ts";
import { FRAME_BYTES, FRAME_SHIFT } from "../../walkers/memory.ts";
import { pciName } from "../../walkers/pci.ts";
import { hex } from "../../walkers/word64.ts";
import { CliError } from "../errors.ts";

/** The oldest QEMU whose events are known. */
const OLDEST = 7;
/** RAM that is no more than a corner of the machine's memory: firmware areas that come and go. */
const MIN_RAM = 1n << 16n;
const PAGE_WORDS = FRAME_BYTES / 8;
/** The monitor's list of regions, each with the device that it belongs to. */
const REGIONS = "info mtree -o";
/** Questions that wait for their answers at the same time. */
const IN_FLIGHT = 64;

/** An IOMMU of the machine. */
export interface MachineIommu {
  readonly kind: QemuIommu;
  readonly id: string;
  /** Where its registers are; null: the guest has given them no place yet. */
  readonly base: bigint | null;
  /** Of one that is a PCI function, its configuration space; null where it is none, or that is not in memory. */
  readonly config: bigint | null;
  /** Of one of several that no event names: by what its events are known. */
  readonly place?: UnitPlace;
}

/** RAM, and where it lies in QEMU's own memory. */
interface Ram extends MemoryRegion {
  readonly host: bigint | null;
}

/** A running QEMU: its IOMMUs, their registers, its memory. */
export class GuestMachine {
  readonly client: QmpClient;
  iommus: readonly MachineIommu[];
  readonly pid: number | undefined;
  readonly kvm: boolean;
  readonly #ram: Ram[];
  readonly #memory: ProcessMemory | null;

  private constructor(
    client: QmpClient,
    iommus: readonly MachineIommu[],
    pid: number | undefined,
    kvm: boolean,
    ram: Ram[],
    memory: ProcessMemory | null,
  ) {
    this.client = client;
    this.iommus = iommus;
    this.pid = pid;
    this.kvm = kvm;
    this.#ram = ram;
    this.#memory = memory;
  }

  /**
   * Looks at the machine.
   * @param socket its QMP socket
   * @param launched what we have started: also IOMMUs whose registers the guest has given no place yet
   * @throws CliError where it has no IOMMU that is known, QmpError
   */
  static async of(client: QmpClient, socket: string, launched?: string): Promise<GuestMachine> {
    const name = launched ?? socket;
    const { major, minor, micro } = client.version;
    if (major < OLDEST)
      throw new CliError(`${name}: expected QEMU ${OLDEST}.2 or later, found ${major}.${minor}.${micro}`);
    const regions = await client.monitor(REGIONS);
    const placed = iommusOf(regions);
    const pending = unplaced(placed, regions, await client.monitor("info pci"));
    const iommus =
      launched !== undefined ? [...placed, ...pending.filter(({ config }) => config !== null)] : placed;
    expectDistinct(iommus, name);
    if (iommus.length === 0) {
      if (pending.length > 0)
        throw new CliError(
          `${name}: expected a machine with an IOMMU, found a riscv-iommu-pci whose registers the guest has given no place yet: attach with --qmp once it has`,
        );
      const known = QEMU_IOMMUS.map(({ region }) => region).join(", ");
      throw new CliError(`${name}: expected a machine with an IOMMU (${known} in "info mtree"), found none`);
    }
    const address = socketAddress(socket);
    const pid = "path" in address ? processBehind(address.path) : undefined;
    const memory = pid === undefined ? null : ProcessMemory.open(pid);
    const ram: Ram[] = [];
    for (const region of ramOf(await client.monitor("info mtree -f"))) {
      if (region.last - region.first + 1n < MIN_RAM) continue;
      ram.push(await placedRam(client, region, memory));
    }
    if (ram.length === 0) throw new CliError(`${name}: expected RAM in "info mtree -f", found none`);
    const { enabled } = (await client.execute("query-kvm")) as { enabled?: boolean };
    return new GuestMachine(client, iommus, pid, enabled === true, ram, memory);
  }

  get commandLine(): readonly string[] {
    return this.pid === undefined ? [] : commandLineOf(this.pid);
  }

  isMemory(frame: number): boolean {
    const address = BigInt(frame) << BigInt(FRAME_SHIFT);
    return this.#ram.some(({ first, last }) => address >= first && address <= last);
  }

  /** Stretches of RAM with their places in QEMU's own memory, where these are known. */
  get ram(): readonly Ram[] {
    return this.#ram;
  }

  /**
   * Looks where registers are that had no place.
   * @returns the IOMMUs that have got one
   * @throws QmpError
   */
  async place(): Promise<MachineIommu[]> {
    if (this.iommus.every(({ base }) => base !== null)) return [];
    const now = iommusOf(await this.client.monitor(REGIONS));
    const found: MachineIommu[] = [];
    this.iommus = this.iommus.map((iommu) => {
      const base = iommu.base ?? now.find(({ id }) => id === iommu.id)?.base ?? null;
      if (base === iommu.base) return iommu;
      const placed = { ...iommu, base };
      found.push(placed);
      return placed;
    });
    return found;
  }

  /** A sentence for each IOMMU whose registers the guest has given a place since. @throws QmpError */
  async moved(): Promise<string[]> {
    const now = iommusOf(await this.client.monitor(REGIONS));
    const known = new Set(this.iommus.map(({ base }) => base));
    return now
      .filter(({ base }) => !known.has(base))
      .map(
        ({ id, base }) =>
          `the guest gave the registers of ${id} their place (${hex(base!)}) while recording: they were not read, and what it translates is not known`,
      );
  }

  /**
   * Looks for memory devices that were plugged in since: they are read from here on.
   * @returns a sentence for each
   * @throws QmpError
   */
  async plugged(): Promise<string[]> {
    const now = memoryDevices(await this.client.execute("query-memory-devices"));
    const added = now.filter(
      ({ first, last }) => !this.#ram.some((known) => known.first <= first && known.last >= last),
    );
    for (const region of added) this.#ram.push(await placedRam(this.client, region, this.#memory));
    return added.map(
      ({ name, first, last }) =>
        `memory was plugged in while recording (${name}, ${hex(first)} to ${hex(last)}): what tables were in it is known of the end alone`,
    );
  }

  /** A page out of QEMU's memory; null where that cannot be read, and has to be asked for. */
  pageNow(frame: number): Uint8Array | null {
    const address = BigInt(frame) << BigInt(FRAME_SHIFT);
    const ram = this.#ram.find(({ first, last }) => address >= first && address <= last);
    if (this.#memory === null || ram === undefined || ram.host === null) return null;
    return this.#memory.read(ram.host + (address - ram.first), FRAME_BYTES);
  }

  /** Pages by the monitor. @throws QmpError */
  async pages(frames: readonly number[]): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    for (let from = 0; from < frames.length; from += IN_FLIGHT)
      await Promise.all(
        frames.slice(from, from + IN_FLIGHT).map(async (frame) => found.set(frame, await this.#page(frame))),
      );
    return found;
  }

  async #page(frame: number): Promise<Uint8Array> {
    const line = `xp /${PAGE_WORDS}gx 0x${frame.toString(16)}000`;
    const words = memoryWords(await this.client.monitor(line));
    if (words.length !== PAGE_WORDS)
      throw new QmpError(`${line}: expected ${PAGE_WORDS} words, found ${words.length}`);
    const page = Buffer.alloc(FRAME_BYTES);
    for (const [i, word] of words.entries()) page.writeBigUInt64LE(word, 8 * i);
    return page;
  }

  /** The registers of an IOMMU that say where its tables are, and what it can do; none before they have a place. @throws QmpError */
  async registers({ kind, base }: MachineIommu): Promise<Map<string, bigint>> {
    if (base === null) return new Map();
    const values = await Promise.all(kind.registers.map((register) => this.#register(base, register)));
    return new Map(kind.registers.map(({ name }, i) => [name, values[i]!]));
  }

  async #register(base: bigint, { offset, bytes, name }: RegisterPlace): Promise<bigint> {
    const address = hex(base + BigInt(offset));
    const [value] = memoryWords(await this.client.monitor(`xp /1${bytes === 8 ? "g" : "w"}x ${address}`));
    if (value === undefined)
      throw new QmpError(`register ${name} at ${address}: expected a value, found none`);
    return value;
  }

  close(): void {
    this.#memory?.close();
    this.client.close();
  }
}

async function placedRam(
  client: QmpClient,
  region: MemoryRegion,
  memory: ProcessMemory | null,
): Promise<Ram> {
  const text = memory === null ? "" : await client.monitor(`gpa2hva 0x${region.first.toString(16)}`);
  return { ...region, host: hostAddressOf(text) };
}

function iommusOf(text: string): MachineIommu[] {
  return QEMU_IOMMUS.flatMap((kind) => {
    const regions = regionsNamed(text, [kind.region]);
    if (kind.several !== undefined && regions.length > 1) return severalOf(text, kind, kind.several, regions);
    return regions.map(({ first: base, owner }) => {
      const id = (kind.named === true ? owner : undefined) ?? kind.id;
      return { kind, id, base, config: null };
    });
  });
}

/** Several whose events do not name them, by the ids of their devices, or by the addresses of their registers. */
function severalOf(
  text: string,
  kind: QemuIommu,
  { space }: SeveralUnits,
  regions: readonly MemoryRegion[],
): MachineIommu[] {
  const spaces = regionsFrom(text, space);
  return regions.map(({ first, last, owner, device }) => {
    const own = spaces.filter((each) => each.device === device).map(({ name }) => name);
    const id = owner ?? `${kind.id}@${first.toString(16)}`;
    return { kind, id, base: first, config: null, place: { first, last, spaces: own } };
  });
}

/** IOMMUs that are functions of bus 0, and whose registers have no place. @param regions, functions what the monitor says */
function unplaced(placed: readonly MachineIommu[], regions: string, functions: string): MachineIommu[] {
  const space = configSpaceOf(regions);
  return QEMU_IOMMUS.flatMap((kind) => {
    if (kind.pci === undefined) return [];
    return functionsOf(functions, kind.pci).map(({ slot, fn }) => ({
      kind,
      // QEMU names it by its place, too.
      id: pciName((slot << 3) | fn),
      base: null,
      config: space === null ? null : space + (BigInt((slot << 3) | fn) << 12n),
    }));
  }).filter(({ id }) => !placed.some((other) => other.id === id));
}

/** @throws CliError for IOMMUs that events do not tell from each other */
function expectDistinct(iommus: readonly MachineIommu[], name: string): void {
  for (const [i, { id, kind, base }] of iommus.entries()) {
    const same = iommus.findIndex((other) => other.id === id);
    if (same === i) continue;
    if (kind.named !== true && kind.several === undefined)
      throw new CliError(
        `${name}: expected one IOMMU, found ${iommus.length} (${kind.region}): QEMU's events name none of them`,
      );
    throw new CliError(
      `${name}: expected IOMMUs that QEMU's events tell apart, found two that they call ${id} (registers at ${placeText(iommus[same]!)} and ${placeText({ base })}): QEMU names one by its slot and the number that its bus has as QEMU starts, behind a bridge 0: give them different slots`,
    );
  }
}

function placeText({ base }: Pick<MachineIommu, "base">): string {
  return base === null ? "no place yet" : hex(base);
}
