/**
 * What kernels report of IOMMUs, whole: a fault with its reason and the tables that were printed with it, although they
 * stood on many lines. Importers make records of these, `explain` sentences.
 */
import type { IommuModel } from "../../walkers/models.ts";
import type { PciDevice } from "./kernel-text.ts";
import type { VtdDump } from "./vtd-dump.ts";

/** Where in a log something stands. */
export interface LogPlace {
  /** Line, from 1. */
  readonly line: number;
  /** Time stamp as JSON, "" where there is none. */
  readonly ts: string;
}

/** What a log calls the kinds of IOMMU; the last two have no tables that a walker here knows. */
export type LoggedModel = IommuModel | "virtio-iommu" | "smmuv2";

/** A request that an IOMMU refused. */
export interface LoggedFault {
  readonly kind: "fault";
  readonly at: LogPlace;
  readonly model: LoggedModel;
  /** "dmar0", "ivhd1", "9050000.smmuv3": where the log names it. */
  readonly iommu: string | undefined;
  /** As the contract names devices; undefined where the log names none. */
  readonly dev: string | undefined;
  readonly pasid: number | undefined;
  readonly addr: bigint | undefined;
  /** Bits 11:0 of the address are not logged. */
  readonly pageOnly: boolean;
  readonly access: "r" | "w" | "x" | undefined;
  /** The native fault code; undefined where the log does not have it. */
  readonly code: number | undefined;
  /** The log's own words. */
  readonly text: string;
  /** An interrupt request: no DMA. */
  readonly interrupt: boolean;
  /** Fields that were told apart by a rule only: two faults' lines lay in one another. */
  readonly assumed: readonly string[];
  readonly vtd?: VtdDump | undefined;
  readonly amd?: AmdDetails | undefined;
  readonly smmu?: SmmuDetails | undefined;
  /** RISC-V: the second value of the fault record. */
  readonly iotval2?: bigint | undefined;
}

export interface AmdDetails {
  readonly event: string;
  readonly domain: number | undefined;
  readonly flags: number | undefined;
  /** The device table entry, lowest word first; fewer than four where lines are missing. */
  readonly dte: readonly bigint[];
  /** The control register. */
  readonly control: bigint | undefined;
}

export interface SmmuDetails {
  /** The event record: four words; none where only the decoded lines are there. */
  readonly words: readonly bigint[];
  readonly name: string | undefined;
  readonly stage: 1 | 2 | undefined;
  readonly class: "CD" | "TT" | "IN" | undefined;
  readonly ipa: bigint | undefined;
  readonly fetchAddr: bigint | undefined;
  /** PCI or platform device behind the stream. */
  readonly client: string | undefined;
  readonly privileged: boolean | undefined;
  readonly stalled: boolean;
}

export type IommuEvent =
  | LoggedFault
  /** A unit's registers by the names of the contract. */
  | {
      readonly kind: "unit";
      readonly at: LogPlace;
      readonly model: IommuModel;
      readonly iommu: string | undefined;
      readonly regs: Readonly<Record<string, bigint>>;
      readonly props: Readonly<Record<string, number>>;
    }
  /** A native command that the kernel printed because something went wrong with it or near it. */
  | {
      readonly kind: "command";
      readonly at: LogPlace;
      readonly model: IommuModel;
      readonly iommu: string | undefined;
      /** 64-bit words, lowest address first. */
      readonly words: readonly bigint[];
      readonly note: string;
      /** It was executed, and its place among the others is known. */
      readonly executed: boolean;
    }
  /** Something is wrong with a unit's queues. */
  | {
      readonly kind: "queue-error";
      readonly at: LogPlace;
      readonly model: IommuModel;
      readonly iommu: string | undefined;
      readonly text: string;
      readonly device: PciDevice | undefined;
    }
  | {
      readonly kind: "loss";
      readonly at: LogPlace;
      readonly what: string;
      readonly count: number;
      readonly message: string;
    }
  | { readonly kind: "reserved"; readonly at: LogPlace; readonly base: bigint; readonly end: bigint }
  | { readonly kind: "group"; readonly at: LogPlace; readonly device: string; readonly group: number }
  | { readonly kind: "note"; readonly at: LogPlace; readonly what: string };

export type EventTaker = (event: IommuEvent) => void;

/** A line as its reader gets it, without what carried it. */
export interface LoggedLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  /** JSON, "" where there is none. */
  readonly ts: string;
  /** Thread or CPU that printed it, where that is known. */
  readonly origin: string;
}

/**
 * What became of a line: its content is kept or has been handed on; nothing for a trace is in it (the kind says
 * what it was); it begins something that the next line may complete; it is none of these.
 */
export type Taken = "understood" | { readonly ignored: string } | "continues" | "unknown";
