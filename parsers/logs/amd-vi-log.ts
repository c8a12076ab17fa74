import { FLAG_GN, FLAG_I, FLAG_PR, FLAG_RW, FLAG_TR } from "../../walkers/amd-vi/events.ts";
import { AMD_VI_FAULTS } from "../../walkers/amd-vi/faults.ts";
import { hex } from "../../walkers/word64.ts";
import { doublewords, ringOf } from "./amd-vi-ring.ts";
import type { EventTaker, LoggedLine, LogPlace, Taken } from "./iommu-events.ts";
import { type AmdViEventMessage, type AmdViLine, amdViContinuation, amdViLine } from "./linux-amd-vi.ts";

/** Commands of the ring that Linux uses (drivers/iommu/amd/amd_iommu_types.h). */
const BUFFER_ENTRIES = 512;
const DTE_WORDS = 4;
const COMMAND_WORDS = 4;
/** Lines that may follow an event and belong to it: the control register, then its four words. */
const FOLLOWERS = 6;

/** Events whose second line is waited for. */
const MAX_HALVES = 16;
/** An event whose line mail has wrapped; that of an unknown one has no end. */
const STARTED = /Event logged \[(?!UNKNOWN)[A-Z][^\]]*(?:\[\d?)?$/;

/** What the driver prints of which a device request is not the cause. */
const COMMAND_EVENTS = new Set(["ILLEGAL_COMMAND_ERROR", "COMMAND_HARDWARE_ERROR", "IOTLB_INV_TIMEOUT"]);

interface OpenEvent {
  readonly message: AmdViEventMessage;
  readonly at: LogPlace;
  readonly origin: string;
  readonly dte: bigint[];
  readonly command: number[];
  control: bigint | undefined;
  age: number;
}

/**
 * Puts the AMD-Vi driver's messages together: an event that old kernels print in two halves, and the device table entry
 * or command behind it.
 */
export class AmdViLog {
  readonly #take: EventTaker;
  #open: OpenEvent | null = null;
  /** The kernel says that it runs in a virtual machine; said once with an event that this explains. */
  #emulated = false;
  /** First halves whose second one has not come. */
  #halves: { readonly at: LogPlace; readonly origin: string }[] = [];
  #ring: {
    readonly at: LogPlace;
    readonly head: number;
    readonly tail: number;
    readonly rows: bigint[][];
  } | null = null;

  constructor(take: EventTaker) {
    this.#take = take;
  }

  /** Lines of any kind after which the second half of an event is no longer expected. */
  get expectsHalf(): boolean {
    return this.#halves.length > 0;
  }

  /** Whether the next lines may be rows of the command buffer, which nothing marks as the driver's. */
  get inBuffer(): boolean {
    return this.#ring !== null;
  }

  /** @param whole the line is all that there is of its message: take what is whole of it */
  line(line: LoggedLine, whole: boolean): Taken {
    if (!whole && STARTED.test(line.text)) return "continues";
    const half = this.#halves.length > 0 ? amdViContinuation(line.text) : undefined;
    if (half !== undefined) {
      const { at } = this.#halves.shift()!;
      this.#begin(half, at, line.origin);
      return "understood";
    }
    const message = amdViLine(line.text);
    if (message === undefined) return this.#other(line.text);
    return this.#message(message, line);
  }

  finish(): void {
    this.#close();
    this.#endBuffer();
    for (const { at } of this.#halves)
      this.#take({ kind: "note", at, what: "an AMD-Vi event whose second line is missing" });
    this.#halves = [];
  }

  #other(text: string): Taken {
    // The second half of an event whose first one is missing still says all.
    const half = amdViContinuation(text);
    if (half !== undefined && half.address !== undefined)
      return { ignored: "AMD-Vi event without its first line" };
    if (/due to virtualization/.test(text)) this.#emulated = true;
    return AT_BOOT.test(text) ? { ignored: "AMD-Vi at boot" } : "unknown";
  }

  #message(message: AmdViLine, line: LoggedLine): Taken {
    const at = { line: line.number, ts: line.ts };
    switch (message.kind) {
      case "amd-event-begin":
        this.#halves.push({ at, origin: line.origin });
        if (this.#halves.length > MAX_HALVES) this.#halves.shift();
        return "understood";
      case "amd-event":
        this.#begin(message, at, line.origin);
        return "understood";
      case "amd-dte":
        return this.#word(message.index, message.value, (open) => open.dte, DTE_WORDS);
      case "amd-command-word":
        return this.#word(message.index, message.value, (open) => open.command, COMMAND_WORDS);
      case "amd-control":
        if (this.#open === null) return { ignored: "control register without its event" };
        this.#open.control = message.value;
        return "understood";
      case "amd-buffer-begin":
        this.#close();
        this.#endBuffer();
        this.#ring = { at, head: message.head, tail: message.tail, rows: [] };
        return "understood";
      case "amd-buffer-entry":
        return this.#row(message.index, message.words);
      default:
        this.#close();
        this.#state(message, at);
        return "understood";
    }
  }

  #state(
    message: Extract<AmdViLine, { kind: "amd-completion-timeout" | "amd-log-overflow" | "amd-features" }>,
    at: LogPlace,
  ): void {
    const common = { at, model: "amd", iommu: undefined } as const;
    if (message.kind === "amd-features") {
      const regs: Record<string, bigint> = { efr: message.efr };
      if (message.efr2 !== undefined) regs.efr2 = message.efr2;
      this.#take({ kind: "unit", ...common, regs, props: {} });
    } else if (message.kind === "amd-log-overflow")
      this.#take({
        kind: "loss",
        at,
        what: "event-log-overflow",
        count: 1,
        message: `the ${message.log.toLowerCase()} log of the IOMMU ran over: events happened that no log has`,
      });
    else
      this.#take({
        kind: "queue-error",
        ...common,
        iommu: message.iommu,
        text: "a COMPLETION_WAIT was not completed in time: the command before it did not end, or the IOMMU is stuck",
        device: undefined,
      });
  }

  #begin(message: AmdViEventMessage, at: LogPlace, origin: string): void {
    this.#close();
    this.#endBuffer();
    this.#open = { message, at, origin, dte: [], command: [], control: undefined, age: 0 };
    const { event } = message;
    if (event !== "ILLEGAL_DEV_TABLE_ENTRY" && event !== "ILLEGAL_COMMAND_ERROR") this.#close();
  }

  #word<T>(index: number, value: T, list: (open: OpenEvent) => T[], count: number): Taken {
    const open = this.#open;
    if (open === null || index !== list(open).length) return { ignored: "word without its event" };
    list(open).push(value);
    if (list(open).length === count || ++open.age >= FOLLOWERS) this.#close();
    return "understood";
  }

  #row(index: number, words: readonly number[]): Taken {
    const ring = this.#ring;
    if (ring === null || index !== ring.rows.length) return { ignored: "command without its buffer" };
    ring.rows.push(doublewords(words));
    if (ring.rows.length === BUFFER_ENTRIES) this.#endBuffer();
    return "understood";
  }

  /** The ring, oldest command first: those from the head on were not executed. */
  #endBuffer(): void {
    const ring = this.#ring;
    this.#ring = null;
    if (ring === null) return;
    const { at, head, tail, rows } = ring;
    for (const { index, words, executed } of ringOf(rows, head, tail)) {
      const note = `command ${index} of the buffer${executed ? "" : ", not executed"}`;
      this.#take({ kind: "command", at, model: "amd", iommu: undefined, words, note, executed });
    }
  }

  #close(): void {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    const { message, at } = open;
    if (COMMAND_EVENTS.has(message.event)) this.#queueError(open);
    else if (message.event === "UNKNOWN")
      this.#take({
        kind: "note",
        at,
        what: `AMD-Vi event that the kernel does not know: ${message.words.map(hex).join(" ")}`,
      });
    else this.#fault(open);
  }

  #queueError({ message, at, command }: OpenEvent): void {
    const { device, address, event, iommu } = message;
    const where = address === undefined ? "" : `, address ${hex(address)}`;
    const whose = device === undefined ? "" : ` of ${device.name}`;
    this.#take({ kind: "queue-error", at, model: "amd", iommu, text: `${event}${whose}${where}`, device });
    if (command.length === COMMAND_WORDS)
      this.#take({
        kind: "command",
        at,
        model: "amd",
        iommu,
        words: doublewords(command),
        note: "the command that the IOMMU refused",
        executed: false,
      });
  }

  #fault({ message, at, dte, control }: OpenEvent): void {
    const { event, device, address, domain, flags, iommu } = message;
    if (this.#emulated && address === 0n && flags !== undefined && (flags & FLAG_I) !== 0) {
      this.#emulated = false;
      this.#take({ kind: "note", at, what: EMULATED });
    }
    const guest = flags !== undefined && (flags & FLAG_GN) !== 0;
    const interrupt = flags !== undefined && hasInterruptFlag(event) && (flags & FLAG_I) !== 0;
    this.#take({
      kind: "fault",
      at,
      model: "amd",
      iommu,
      dev: device?.name,
      // The field holds a DomainID where the address is not a guest's (AMD 48882, 2.5.3).
      pasid: guest ? (message.pasid ?? domain) : undefined,
      addr: address,
      pageOnly: false,
      access: accessOf(event, flags),
      code: CODES.get(event),
      text: event,
      interrupt,
      assumed: [],
      amd: { event, domain: guest ? undefined : (domain ?? message.pasid), flags, dte, control },
    });
  }
}

const AT_BOOT =
  /AMD-Vi: (?:Unknown option|Using (?:strict|lazy|global)|Lazy IO|Interrupt remapping|Extended features|Virtual APIC|X2APIC|Found IOMMU|IOMMU (?:performance|at)|Enabling|Disabling|Applying|AMD IOMMUv2|AMD-Vi|IVRS|Initialized|Force|SNP|V2 page|ivhd)|AMD IOMMUv2|amd_iommu=/i;

const EMULATED =
  "this kernel runs in a virtual machine, and QEMU (to 11.1) writes AMD-Vi events without address and domain, with the permissions in bits 0 and 1 of the flags: what these events say is not to be believed; trace QEMU (-trace 'amdvi_*')";

const CODES = new Map(AMD_VI_FAULTS.map(({ name, code }) => [name, code]));

/** Events whose flags have the bits of a request (AMD 48882, 2.5.2 to 2.5.5); INVALID_DEVICE_REQUEST has a type. */
function hasInterruptFlag(event: string): boolean {
  return event !== "INVALID_DEVICE_REQUEST" && event !== "INVALID_PPR_REQUEST" && !event.startsWith("RMP_");
}

/**
 * RW of an event says whether the request was a write where the request is no interrupt and no translation
 * request; of a page fault only where the page is present, too (AMD 48882, 2.5.3, table).
 */
function accessOf(event: string, flags: number | undefined): "r" | "w" | undefined {
  if (flags === undefined || !hasInterruptFlag(event) || (flags & (FLAG_I | FLAG_TR)) !== 0) return undefined;
  if (event === "IO_PAGE_FAULT" && (flags & FLAG_PR) === 0) return undefined;
  return (flags & FLAG_RW) !== 0 ? "w" : "r";
}
