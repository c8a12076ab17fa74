/**
 * What Linux's AMD-Vi driver logs (drivers/iommu/amd/iommu.c, iommu_print_event and what it calls). By kernel:
 *
 * | up to 4.16 | two lines, between which others may fall: `AMD-Vi: Event logged [` / `IO_PAGE_FAULT device=… …]` |
 * | 4.17 on | `AMD-Vi: Event logged [IO_PAGE_FAULT device=bb:dd.f domain=0x… address=0x… flags=0x…]`; with the
 *   segment since 6.0; of a known device `DRIVER ssss:bb:dd.f: AMD-Vi: Event logged [IO_PAGE_FAULT domain=… …]` |
 *
 * Events of the table entries are followed by the whole device table entry, illegal commands by the command.
 */
import { hexWord, type PciDevice, pciDevice, smallHex } from "./kernel-text.ts";

/** An entry of the event log; a field that the line does not give is undefined. */
export interface AmdViEventMessage {
  readonly kind: "amd-event";
  /** "ivhd0", where the line begins with it. */
  readonly iommu: string | undefined;
  /** IO_PAGE_FAULT, … as the driver and the specification spell it; RMP_* are SNP's, UNKNOWN the driver's word. */
  readonly event: string;
  readonly device: PciDevice | undefined;
  /** IO_PAGE_FAULT: DomainID, or PASID where the flags have GN. */
  readonly domain: number | undefined;
  readonly pasid: number | undefined;
  readonly address: bigint | undefined;
  /** Bits 59:48 of the event's first doubleword. */
  readonly flags: number | undefined;
  /** INVALID_PPR_REQUEST. */
  readonly tag: number | undefined;
  /** RMP_PAGE_FAULT. */
  readonly flagsRmp: number | undefined;
  readonly vmgTag: number | undefined;
  /** UNKNOWN: the event's four 32-bit words. */
  readonly words: readonly number[];
}

export type AmdViLine =
  | AmdViEventMessage
  /** The first half of an event of kernels up to 4.16. */
  | { readonly kind: "amd-event-begin" }
  | { readonly kind: "amd-dte"; readonly index: number; readonly value: bigint }
  | { readonly kind: "amd-command-word"; readonly index: number; readonly value: number }
  | { readonly kind: "amd-control"; readonly value: bigint }
  | { readonly kind: "amd-completion-timeout"; readonly iommu: string | undefined }
  | { readonly kind: "amd-buffer-begin"; readonly head: number; readonly tail: number }
  | { readonly kind: "amd-buffer-entry"; readonly index: number; readonly words: readonly number[] }
  | { readonly kind: "amd-log-overflow"; readonly log: string }
  | {
      readonly kind: "amd-features";
      readonly efr: bigint;
      readonly efr2: bigint | undefined;
      readonly global: boolean;
    };

/** What the driver calls an event that it does not know; nothing closes its bracket. */
const UNKNOWN = "UNKNOWN";

/** Names that an event may have: what stands alone on a line of an old kernel is recognised by them. */
const EVENT_NAMES = [
  "ILLEGAL_DEV_TABLE_ENTRY",
  "IO_PAGE_FAULT",
  "DEV_TAB_HARDWARE_ERROR",
  "PAGE_TAB_HARDWARE_ERROR",
  "ILLEGAL_COMMAND_ERROR",
  "COMMAND_HARDWARE_ERROR",
  "IOTLB_INV_TIMEOUT",
  "INVALID_DEVICE_REQUEST",
  "INVALID_PPR_REQUEST",
  "RMP_PAGE_FAULT",
  "RMP_HW_ERROR",
  UNKNOWN,
];

const EVENT = /Event logged \[\s*([A-Z][A-Z0-9_]*)[ ,]+(.*)$/;
const BEGIN = /AMD-Vi: Event logged \[\s*$/;
/** The device of a message that pci_err or dev_err prefixed. */
const PREFIX = /(?:^|\s)([0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]): AMD-Vi: /i;
const IVHD = /\b(ivhd\d+): AMD-Vi: /;
const CONTINUATION = new RegExp(`(?:^|[\\s\\]])(${EVENT_NAMES.join("|")}) (.*\\])\\s*$`);
const FIELD = /([a-z_]+(?:\[\d\])?)=(?:0x)?([0-9a-f:.]+)/gi;
const DTE = /\bDTE\[([0-3])\]: ([0-9a-f]{16})(?![0-9a-fx])/i;
const COMMAND = /\bCMD\[([0-3])\]: ([0-9a-f]{8})(?![0-9a-fx])/i;
const CONTROL = /Control Reg : 0x([0-9a-f]{1,16})(?![0-9a-fx])/i;
const TIMEOUT = /(?:IOMMU ([0-9a-f:.]+): )?Completion-Wait loop timed out/i;
const BUFFER = /CMD Buffer head=(\d+) tail=(\d+)/i;
const BUFFER_ENTRY =
  /(?:^|AMD-Vi:)\s*(\d{1,6}): ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{8}) ([0-9a-f]{8})\s*$/i;
const OVERFLOW = /IOMMU (\w+) log (?:overflow|restarting)/i;
const FEATURES = /AMD-Vi: Extended features \(0x([0-9a-f]{1,16})(?:, 0x([0-9a-f]{1,16}))?\)/i;
const GLOBAL_FEATURES = /Using global IVHD EFR:0x([0-9a-f]{1,16})(?:, EFR2:0x([0-9a-f]{1,16}))?/i;

/** A line of the AMD-Vi driver; undefined where it is none that says something. */
export function amdViLine(text: string): AmdViLine | undefined {
  if (BEGIN.test(text)) return { kind: "amd-event-begin" };
  const event = EVENT.exec(text);
  if (event !== null) return eventOf(event[1]!, event[2]!, text);
  const dte = DTE.exec(text);
  if (dte !== null) return { kind: "amd-dte", index: Number(dte[1]), value: hexWord(dte[2])! };
  const command = COMMAND.exec(text);
  if (command !== null)
    return { kind: "amd-command-word", index: Number(command[1]), value: smallHex(command[2])! };
  const control = CONTROL.exec(text);
  if (control !== null) return { kind: "amd-control", value: hexWord(control[1])! };
  const timeout = TIMEOUT.exec(text);
  if (timeout !== null) return { kind: "amd-completion-timeout", iommu: timeout[1] };
  const buffer = BUFFER.exec(text);
  if (buffer !== null) return { kind: "amd-buffer-begin", head: Number(buffer[1]), tail: Number(buffer[2]) };
  const overflow = OVERFLOW.exec(text);
  if (overflow !== null) return { kind: "amd-log-overflow", log: overflow[1]! };
  const own = FEATURES.exec(text);
  const features = own ?? GLOBAL_FEATURES.exec(text);
  if (features !== null)
    return {
      kind: "amd-features",
      efr: hexWord(features[1])!,
      efr2: hexWord(features[2]),
      global: own === null,
    };
  return amdViBufferEntry(text);
}

/** The second half of an event of kernels up to 4.16, which nothing marks as the driver's. */
export function amdViContinuation(text: string): AmdViEventMessage | undefined {
  const found = CONTINUATION.exec(text);
  return found === null ? undefined : eventOf(found[1]!, found[2]!, "");
}

/** A command of a dump of the command buffer. */
function amdViBufferEntry(text: string): AmdViLine | undefined {
  const entry = BUFFER_ENTRY.exec(text);
  return entry === null
    ? undefined
    : {
        kind: "amd-buffer-entry",
        index: Number(entry[1]),
        words: entry.slice(2).map((word) => smallHex(word)!),
      };
}

/** Always of eight digits: fewer were cut. */
function wordOf(digits: string | undefined): number[] {
  return digits?.length === 8 ? [smallHex(digits)!] : [];
}

function eventOf(event: string, rest: string, text: string): AmdViEventMessage {
  const fields = new Map<string, string>();
  // A torn line ends inside a field: what is not closed is not taken.
  const closed = event === UNKNOWN || rest.includes("]") ? rest : rest.replace(/[^ ,]*$/, "");
  for (const [, name, value] of closed.matchAll(FIELD)) fields.set(name!.toLowerCase(), value!);
  const named = fields.get("device") ?? PREFIX.exec(text)?.[1];
  return {
    kind: "amd-event",
    iommu: IVHD.exec(text)?.[1],
    event,
    device: named === undefined ? undefined : pciDevice(named),
    domain: smallHex(fields.get("domain")),
    pasid: smallHex(fields.get("pasid")),
    address: hexWord(fields.get("address") ?? fields.get("gpa") ?? fields.get("spa")),
    flags: smallHex(fields.get("flags")),
    tag: smallHex(fields.get("tag")),
    flagsRmp: smallHex(fields.get("flags_rmp")),
    vmgTag: smallHex(fields.get("vmg_tag")),
    words: [0, 1, 2, 3].map((i) => fields.get(`event[${i}]`)).flatMap(wordOf),
  };
}
