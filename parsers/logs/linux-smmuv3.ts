/**
 * What Linux's SMMUv3 driver logs (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c). An event is its number, then its four
 * 64-bit words on lines of their own; since about 6.14 decoded lines follow, which say nothing more.
 */
import { hexWord, pciDevice, smallHex } from "./kernel-text.ts";

/** `unit` is the SMMU's device name, "" where the line is cut before it. */
export type Smmuv3Line = { readonly unit: string } & (
  | { readonly kind: "smmu-event"; readonly event: number }
  /** A 64-bit word of the event or of the command that goes before. */
  | { readonly kind: "smmu-word"; readonly value: bigint }
  | DecodedEvent
  | DecodedAccess
  | { readonly kind: "smmu-queue-error"; readonly cons: number; readonly error: string }
  | { readonly kind: "smmu-command-begin" }
  | { readonly kind: "smmu-sync-timeout"; readonly at: number }
  /** Records of a queue were lost. */
  | { readonly kind: "smmu-loss"; readonly queue: string; readonly text: string }
  | { readonly kind: "smmu-global-error"; readonly value: number | undefined; readonly text: string }
  | { readonly kind: "smmu-sizes"; readonly ias: number | undefined; readonly oas: number }
);

/** The first decoded line. `ssid` 0 also stands for none. */
export interface DecodedEvent {
  readonly kind: "smmu-decoded";
  readonly name: string;
  /** PCI or platform device; undefined where no driver has the stream. */
  readonly client: string | undefined;
  readonly sid: number;
  readonly ssid: number;
  readonly iova: bigint | undefined;
  readonly ipa: bigint | undefined;
  readonly fetchAddr: bigint | undefined;
}

/** The second decoded line. */
export interface DecodedAccess {
  readonly kind: "smmu-decoded-access";
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly read: boolean;
  readonly stage: 1 | 2;
  readonly class: string;
}

const UNIT = /arm-smmu-v3 ([^\s:]+): (.*)$/s;
const EVENT = /^event 0x([0-9a-f]{1,2}) received:/i;
const WORD = /^\s*0x([0-9a-f]{16})\s*$/i;
const DECODED =
  /^event: (\S+) client: (.+?) sid: 0x([0-9a-f]{1,8}) ssid: 0x([0-9a-f]{1,5})(?: iova: 0x([0-9a-f]{1,16}) ipa: 0x([0-9a-f]{1,16})| fetch_addr: 0x([0-9a-f]{1,16}))?/i;
const ACCESS = /^(un)?priv (inst|data) (read|write) s([12]) "([^"]*)"/;
const QUEUE_ERROR = /^CMDQ error \(cons 0x([0-9a-f]{1,8})\): (.*?)\s*$/i;
const SYNC = /^CMD_SYNC timeout at 0x([0-9a-f]{1,8})/i;
const LOSS = /^(EVTQ|PRIQ) (?:overflow detected|write aborted) -- /;
const GLOBAL = /^unexpected global error reported \(0x([0-9a-f]{1,8})\)/i;
const GLOBAL_TEXT = /^(device has entered Service Failure Mode!|\w+ MSI write aborted)/;
const SIZES = /^(?:ias (\d{1,2})-bit, )?oas (\d{1,2})-bit/;

/** A line of the SMMUv3 driver; undefined where it is none that says something. */
export function smmuv3Line(text: string): Smmuv3Line | undefined {
  const found = UNIT.exec(text);
  if (found === null) return undefined;
  const line = messageOf(found[2]!);
  return line === undefined ? undefined : { unit: found[1]!, ...line };
}

type Unlabelled = Smmuv3Line extends infer L ? (L extends Smmuv3Line ? Omit<L, "unit"> : never) : never;

function messageOf(text: string): Unlabelled | undefined {
  const word = WORD.exec(text);
  if (word !== null) return { kind: "smmu-word", value: hexWord(word[1])! };
  const event = EVENT.exec(text);
  if (event !== null) return { kind: "smmu-event", event: smallHex(event[1])! };
  const decoded = DECODED.exec(text);
  if (decoded !== null)
    return {
      kind: "smmu-decoded",
      name: decoded[1]!,
      client: decoded[2]!.startsWith("(") ? undefined : (pciDevice(decoded[2]!)?.name ?? decoded[2]!),
      sid: smallHex(decoded[3])!,
      ssid: smallHex(decoded[4])!,
      iova: hexWord(decoded[5]),
      ipa: hexWord(decoded[6]),
      fetchAddr: hexWord(decoded[7]),
    };
  const access = ACCESS.exec(text);
  if (access !== null)
    return {
      kind: "smmu-decoded-access",
      privileged: access[1] === undefined,
      instruction: access[2] === "inst",
      read: access[3] === "read",
      stage: access[4] === "1" ? 1 : 2,
      class: access[5]!,
    };
  return errorOf(text);
}

function errorOf(text: string): Unlabelled | undefined {
  const queue = QUEUE_ERROR.exec(text);
  if (queue !== null) return { kind: "smmu-queue-error", cons: smallHex(queue[1])!, error: queue[2]! };
  if (text.startsWith("skipping command in error state:")) return { kind: "smmu-command-begin" };
  const sync = SYNC.exec(text);
  if (sync !== null) return { kind: "smmu-sync-timeout", at: smallHex(sync[1])! };
  const loss = LOSS.exec(text);
  if (loss !== null) return { kind: "smmu-loss", queue: loss[1]!, text: text.trim() };
  const global = GLOBAL.exec(text);
  if (global !== null) return { kind: "smmu-global-error", value: smallHex(global[1]), text: text.trim() };
  if (GLOBAL_TEXT.test(text)) return { kind: "smmu-global-error", value: undefined, text: text.trim() };
  const sizes = SIZES.exec(text);
  return sizes === null
    ? undefined
    : {
        kind: "smmu-sizes",
        ias: sizes[1] === undefined ? undefined : Number(sizes[1]),
        oas: Number(sizes[2]),
      };
}
