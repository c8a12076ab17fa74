import { SMMUV3_FAULT_RECORD } from "../../walkers/smmuv3/fault-record.ts";
import { SMMUV3_FAULTS } from "../../walkers/smmuv3/index.ts";
import { hex } from "../../walkers/word64.ts";
import type { EventTaker, LoggedFault, LoggedLine, LogPlace, SmmuDetails, Taken } from "./iommu-events.ts";
import { type DecodedAccess, type DecodedEvent, type Smmuv3Line, smmuv3Line } from "./linux-smmuv3.ts";

const EVENT_WORDS = 4;
const COMMAND_WORDS = 2;
/** SMMUs whose lines may lie in one another's. */
const MAX_UNITS = 256;

interface OpenEvent {
  readonly at: LogPlace;
  readonly event: number;
  readonly words: bigint[];
  decoded: DecodedEvent | undefined;
  access: DecodedAccess | undefined;
}

/** What one SMMU's lines have begun. */
interface Unit {
  event: OpenEvent | null;
  command: { readonly at: LogPlace; readonly words: bigint[] } | null;
}

/** Puts the SMMUv3 driver's messages together: an event's words, and the decoded lines that name its device. */
export class Smmuv3Log {
  readonly #take: EventTaker;
  readonly #units = new Map<string, Unit>();

  constructor(take: EventTaker) {
    this.#take = take;
  }

  line(line: LoggedLine): Taken {
    const message = smmuv3Line(line.text);
    if (message !== undefined) return this.#message(message, line);
    return AT_BOOT.test(line.text) ? { ignored: "SMMUv3 at boot" } : "unknown";
  }

  finish(): void {
    for (const [name, unit] of this.#units) {
      this.#closeEvent(name, unit);
      this.#closeCommand(name, unit);
    }
    this.#units.clear();
  }

  #message(message: Smmuv3Line, line: LoggedLine): Taken {
    const at = { line: line.number, ts: line.ts };
    const unit = this.#unit(message.unit);
    switch (message.kind) {
      case "smmu-event":
        this.#closeEvent(message.unit, unit);
        unit.event = { at, event: message.event, words: [], decoded: undefined, access: undefined };
        return "understood";
      case "smmu-word":
        return this.#word(message.value, unit, message.unit);
      case "smmu-decoded":
        return this.#decoded(message, unit, message.unit, at);
      case "smmu-decoded-access":
        if (unit.event === null || unit.event.access !== undefined)
          return { ignored: "decoded SMMUv3 event without its first line" };
        unit.event.access = message;
        return "understood";
      case "smmu-command-begin":
        this.#closeCommand(message.unit, unit);
        unit.command = { at, words: [] };
        return "understood";
      default:
        this.#closeEvent(message.unit, unit);
        this.#state(message, at);
        return "understood";
    }
  }

  #unit(name: string): Unit {
    let unit = this.#units.get(name);
    if (unit === undefined) {
      if (this.#units.size >= MAX_UNITS) this.finish();
      unit = { event: null, command: null };
      this.#units.set(name, unit);
    }
    return unit;
  }

  #word(value: bigint, unit: Unit, name: string): Taken {
    const { event, command } = unit;
    const eventOpen = event !== null && event.words.length < EVENT_WORDS;
    if (eventOpen && command !== null) {
      // Two handlers print at once: nobody can say whose word this is.
      unit.command = null;
      event.words.length = 0;
      unit.event = event.decoded === undefined ? null : event;
      return { ignored: "word that an SMMUv3 event and a command may have" };
    }
    if (eventOpen) event.words.push(value);
    else if (command !== null) {
      command.words.push(value);
      if (command.words.length === COMMAND_WORDS) this.#closeCommand(name, unit);
    } else return { ignored: "word without its SMMUv3 event" };
    return "understood";
  }

  #decoded(message: DecodedEvent, unit: Unit, name: string, at: LogPlace): Taken {
    const open = unit.event;
    const event = CODES.get(message.name);
    const whole = open !== null && open.words.length === EVENT_WORDS && open.decoded === undefined;
    if (whole && (event === undefined || event === open.event)) open.decoded = message;
    else {
      this.#closeEvent(name, unit);
      if (event === undefined) return { ignored: "decoded SMMUv3 event that has no name" };
      unit.event = { at, event, words: [], decoded: message, access: undefined };
    }
    return "understood";
  }

  #closeCommand(name: string, unit: Unit): void {
    const { command } = unit;
    unit.command = null;
    if (command?.words.length !== COMMAND_WORDS) return;
    const note = "the command that the SMMU refused, and the driver replaced by CMD_SYNC";
    this.#take({
      kind: "command",
      at: command.at,
      model: "arm-smmuv3",
      iommu: name,
      words: command.words,
      note,
      executed: false,
    });
  }

  #closeEvent(name: string, unit: Unit): void {
    const open = unit.event;
    unit.event = null;
    if (open === null) return;
    if (open.words.length === EVENT_WORDS) this.#take(rawFault(name, open));
    else if (open.decoded !== undefined) this.#take(decodedFault(name, open, open.decoded));
    else
      this.#take({
        kind: "loss",
        at: open.at,
        what: "torn-event",
        count: 1,
        message: "an SMMUv3 event's words are missing from the log",
      });
  }

  #state(message: Smmuv3Line, at: LogPlace): void {
    const common = { at, model: "arm-smmuv3", iommu: message.unit } as const;
    const error = (text: string) => {
      this.#take({ kind: "queue-error", ...common, text, device: undefined });
    };
    switch (message.kind) {
      case "smmu-queue-error":
        error(`the command queue stopped: ${message.error} (CMDQ_CONS ${hex(message.cons)})`);
        return;
      case "smmu-sync-timeout":
        error(`CMD_SYNC at ${hex(message.at)} was not completed in time`);
        return;
      case "smmu-global-error":
        error(message.value === undefined ? message.text : `global error, GERROR ${hex(message.value)}`);
        return;
      case "smmu-loss":
        this.#take({
          kind: "loss",
          at,
          what: message.queue === "EVTQ" ? "event-queue-overflow" : "page-request-queue-overflow",
          count: 1,
          message: `${message.unit}: ${message.text}`,
        });
        return;
      case "smmu-sizes": {
        const props: Record<string, number> = { output_bits: message.oas };
        if (message.ias !== undefined) props.input_bits = message.ias;
        this.#take({ kind: "unit", ...common, regs: {}, props });
      }
    }
  }
}

const AT_BOOT =
  /arm-smmu-v3 [^\s:]+: (?:allocated|option|probing|found|msi|no translation|sub-page|2-level|IDR0|ias|oas|using|Unsupported|coherent|failed to (?:allocate|setup) (?:MSI|evtq))/i;

const CODES = new Map(SMMUV3_FAULTS.map(({ name, code }) => [name, code]));
const CLASSES = ["CD", "TT", "IN"] as const;
const DECODED_CLASSES: Readonly<Record<string, "CD" | "TT" | "IN">> = {
  "CD fetch": "CD",
  "Stage 1 translation table fetch": "TT",
  "Input address caused fault": "IN",
};

/** C_BAD_SUBSTREAMID: its SubstreamID is valid by itself (IHI 0070, 7.3.9). */
const BAD_SUBSTREAM = 8;

/** A fault by the event record itself. */
function rawFault(iommu: string, { at, words, decoded }: OpenEvent): LoggedFault {
  const view = new DataView(new ArrayBuffer(EVENT_WORDS * 8));
  words.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  const code = SMMUV3_FAULT_RECORD.code(view);
  const layout = SMMUV3_FAULT_RECORD.layout(code);
  const field = (name: string) => (name in layout.fields ? layout.extract(name, view, 0) : undefined);
  const flag = (name: string) => field(name) === 1n;
  const cls = field("CLASS");
  const second = flag("S2");
  const ipa = second ? field("IPA") : undefined;
  const fetchAddr = field("FETCHADDR");
  const substream = code === BAD_SUBSTREAM || flag("SSV");
  const smmu: SmmuDetails = {
    words,
    name: nameOf(code),
    stage: cls === undefined ? undefined : second ? 2 : 1,
    class: cls === undefined ? undefined : CLASSES[Number(cls)],
    ipa: ipa === undefined ? undefined : ipa << IPA_SHIFT,
    fetchAddr: fetchAddr === undefined ? undefined : fetchAddr << FETCH_SHIFT,
    client: decoded?.client,
    privileged: field("PNU") === undefined ? undefined : flag("PNU"),
    stalled: flag("STALL"),
  };
  return {
    ...base(iommu, at, Number(field("STREAMID"))),
    pasid: substream ? Number(field("SUBSTREAMID")) : undefined,
    addr: field("INPUTADDR"),
    access: field("RNW") === undefined ? undefined : flag("RNW") ? (flag("IND") ? "x" : "r") : "w",
    code,
    text: smmu.name ?? `event ${hex(code)}`,
    smmu,
  };
}

/** A fault by the decoded lines alone, where the words are missing. `ssid` 0 may be none: it is taken for none. */
function decodedFault(iommu: string, { at, access }: OpenEvent, decoded: DecodedEvent): LoggedFault {
  const { name, sid, ssid, iova, ipa, fetchAddr, client } = decoded;
  return {
    ...base(iommu, at, sid),
    pasid: ssid === 0 ? undefined : ssid,
    addr: iova,
    access: access === undefined ? undefined : access.read ? (access.instruction ? "x" : "r") : "w",
    code: CODES.get(name),
    text: name,
    assumed: ssid === 0 ? ["pasid"] : [],
    smmu: {
      words: [],
      name,
      stage: access?.stage,
      class: access === undefined ? undefined : DECODED_CLASSES[access.class],
      ipa: access?.stage === 2 ? ipa : undefined,
      fetchAddr,
      client,
      privileged: access?.privileged,
      stalled: false,
    },
  };
}

/** IPA begins at bit 12 of its word, FetchAddr at bit 3 (IHI 0070, 7.3). */
const IPA_SHIFT = 12n;
const FETCH_SHIFT = 3n;

function base(iommu: string, at: LogPlace, sid: number) {
  return {
    kind: "fault",
    at,
    model: "arm-smmuv3",
    iommu,
    dev: `sid:${hex(sid)}`,
    pageOnly: false,
    interrupt: false,
    assumed: [] as readonly string[],
  } as const;
}

function nameOf(code: number): string | undefined {
  return SMMUV3_FAULTS.find((fault) => fault.code === code)?.name;
}
