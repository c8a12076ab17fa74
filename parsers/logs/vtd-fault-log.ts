import type { EventTaker, LoggedFault, LoggedLine, LogPlace, Taken } from "./iommu-events.ts";
import { type VtdDumpLine, vtdDumpLine, xenDumpLine } from "./linux-vtd-dump.ts";
import { type VtdFaultLine, type VtdFaultMessage, vtdFaultLine } from "./linux-vtd-fault.ts";
import { VtdDump } from "./vtd-dump.ts";

/** Faults whose other lines are waited for. */
const MAX_WAITING = 16;
/** Lines of VT-d after which nothing more is expected of a fault. */
const PATIENCE = 24;
/** The same, where no line before has shown that this kernel prints tables. */
const NO_DUMPS_PATIENCE = 4;

interface WaitingFault {
  readonly message: VtdFaultMessage;
  readonly at: LogPlace;
  readonly origin: string;
  code: number | undefined;
  text: string;
  /** The reason may belong to another fault whose lines lay in this one's. */
  doubtful: boolean;
  dump: VtdDump | undefined;
  age: number;
}

/**
 * Puts VT-d faults of a kernel log together: the reason, which old kernels and Xen print on the next line, and the table
 * entries that newer ones print after it. Lines of several units interleave: the origin of a line tells them apart where
 * the log has it, else what each of them expects; a line that two could take makes both dumps worthless.
 */
export class VtdFaultLog {
  readonly #take: EventTaker;
  #waiting: WaitingFault[] = [];
  /** Dumps whose next line may come, with the origin of their lines. */
  #open: { readonly dump: VtdDump; readonly origin: string; readonly fault: WaitingFault | undefined }[] = [];
  #dumpsSeen = false;

  constructor(take: EventTaker) {
    this.#take = take;
  }

  /**
   * Takes a line if it is about a fault.
   * @param whole the line is all that there is of its message
   */
  line(line: LoggedLine, whole: boolean): Taken {
    const started = STARTED.test(line.text);
    if (started && !whole) return "continues";
    const fault = vtdFaultLine(line.text);
    if (fault !== undefined) return this.#fault(fault, line);
    const dump = vtdDumpLine(line.text) ?? xenDumpLine(line.text);
    if (dump !== undefined) return this.#dump(dump, line);
    return started ? { ignored: "VT-d message that is torn" } : "unknown";
  }

  /** A line of VT-d that is about something else: what was waited for grows older. */
  pass(origin: string): void {
    this.#settle(origin);
  }

  finish(): void {
    this.#open = [];
    for (const fault of this.#waiting) this.#emit(fault);
    this.#waiting = [];
  }

  #fault(message: VtdFaultLine, line: LoggedLine): Taken {
    const at = { line: line.number, ts: line.ts };
    switch (message.kind) {
      case "vtd-fault":
        this.#settle(line.origin);
        this.#waiting.push({
          message,
          at,
          origin: line.origin,
          code: message.code,
          text: message.text,
          doubtful: false,
          dump: undefined,
          age: 0,
        });
        if (this.#waiting.length > MAX_WAITING) this.#emit(this.#waiting.shift()!);
        return "understood";
      case "vtd-reason":
        return this.#reason(message, line.origin)
          ? "understood"
          : { ignored: "fault reason without its fault" };
      case "vtd-interrupt-fault":
        this.#settle(line.origin);
        return { ignored: "interrupt remapping fault" };
      case "vtd-status":
        this.#settle(line.origin);
        if ((message.value & PRIMARY_FAULT_OVERFLOW) !== 0)
          this.#take({
            kind: "loss",
            at,
            what: "fault-register-overflow",
            count: 1,
            message:
              "the unit had no free fault recording register (FSTS.PFO): faults happened that no log has",
          });
        return "understood";
    }
  }

  #reason({ code, text }: { code: number; text: string }, origin: string): boolean {
    const open = this.#waiting.filter((fault) => fault.code === undefined);
    const own = open.filter((fault) => sameOrigin(fault.origin, origin));
    const access = DENIED[code];
    const fitting = own.filter(({ message }) => access === undefined || message.access === access);
    const fault = fitting[0] ?? own[0];
    if (fault === undefined) return false;
    fault.doubtful = (fitting.length > 0 ? fitting : own).length > 1 && origin === "";
    fault.code = code;
    fault.text = text;
    return true;
  }

  #dump(line: VtdDumpLine, { origin }: LoggedLine): Taken {
    if (line.kind === "dump-begin" || line.kind === "dump-begin-xen") return this.#begin(line, origin);
    const known = this.#open.filter((open) => !open.dump.closed && sameOrigin(open.origin, origin));
    const expecting = known.filter(({ dump }) => dump.expects(line));
    // The end of a dump says nothing that could be wrong: it is most likely that of the latest one.
    const only = expecting.length === 1 || line.kind === "dump-end" ? expecting.at(-1) : undefined;
    if (only !== undefined) {
      only.dump.take(line);
      if (only.dump.closed) this.#close(only.dump);
      return "understood";
    }
    // Either it belongs to none, for lines are missing, or nobody can say to which.
    for (const { dump, fault } of expecting.length > 1 ? expecting : known) {
      if (fault !== undefined) fault.dump = undefined;
      dump.closed = true;
      this.#close(dump);
    }
    if (expecting.length > 1) return { ignored: "table entry that two interleaved dumps may have" };
    return { ignored: known.length > 0 ? "table entry out of order" : "table entry without its dump" };
  }

  #begin(line: Extract<VtdDumpLine, { kind: "dump-begin" | "dump-begin-xen" }>, origin: string): Taken {
    this.#dumpsSeen = true;
    const { iommu, addr } = line;
    const dump = new VtdDump(iommu, addr);
    const fault = this.#waiting.find(
      (waiting) =>
        waiting.dump === undefined &&
        waiting.message.addr === addr &&
        (line.kind === "dump-begin" || waiting.message.device.requester === line.device.requester) &&
        sameOrigin(waiting.origin, origin),
    );
    if (fault !== undefined) fault.dump = dump;
    this.#open.push({ dump, origin, fault });
    if (this.#open.length > MAX_WAITING) this.#open.shift();
    return fault === undefined ? { ignored: "table dump without its fault" } : "understood";
  }

  #close(dump: VtdDump): void {
    this.#open = this.#open.filter((open) => open.dump !== dump);
  }

  /** A line of somebody: hands on what nothing more is expected of. */
  #settle(origin: string): void {
    if (this.#waiting.length === 0) return;
    const patience = this.#dumpsSeen ? PATIENCE : NO_DUMPS_PATIENCE;
    for (const fault of this.#waiting) if (sameOrigin(fault.origin, origin)) fault.age++;
    // In the order of the log.
    const done = ({ dump, code, age }: WaitingFault) =>
      age >= PATIENCE || (dump !== undefined ? dump.closed : code !== undefined && age >= patience);
    while (this.#waiting.length > 0 && done(this.#waiting[0]!)) this.#emit(this.#waiting.shift()!);
  }

  #emit({ message, at, code, text, doubtful, dump }: WaitingFault): void {
    const fault: LoggedFault = {
      kind: "fault",
      at,
      model: "intel",
      iommu: dump?.iommu,
      dev: message.device.name,
      pasid: message.pasid,
      addr: message.addr,
      pageOnly: true,
      access: message.access,
      code,
      text,
      interrupt: false,
      assumed: doubtful ? ["code"] : [],
      vtd: dump,
    };
    this.#take(fault);
  }
}

/** VT-d 5.10, 11.4.7.1, FSTS_REG. */
const PRIMARY_FAULT_OVERFLOW = 1;
/** Legacy mode: what a reason says of the kind of access (VT-d 5.10, 7.1.3). */
const DENIED: Readonly<Record<number, "r" | "w">> = { 5: "w", 6: "r" };
/** How a message begins that mail has wrapped. */
const STARTED =
  /\[DMA (?:Read|Write)[^\]]*\]?(?: Request device(?: \[[^\]]*\])?(?: fault(?: addr)?)?)?\s*$|(?:root|context) entry: hi (?:0x[0-9a-f]{16},(?: low)?)?\s*$|(?:root|dir) entry:\s*$|pasid table entry\[[0-7]\]:\s*$|pte level: [1-6], pte(?: value:)?\s*$|DMAR: ?reason [0-9a-f]{1,8} -\s*$|print_vtd_entries: iommu\b(?!.* gmfn ).*$|Dump \S+ table(?: entries(?: for(?: IOVA)?)?)?\s*$/i;

/** Lines without an origin may be anybody's. */
function sameOrigin(a: string, b: string): boolean {
  return a === b || a === "" || b === "";
}
