/**
 * How a format of logs is declared. A log importer turns lines into records of the pasid-trace contract. What it derives
 * and the log does not say is named in the record's `assumed`; nothing is made up.
 */

import type { IommuModel } from "../../walkers/models.ts";
import type { HostIommu } from "../caps/host.ts";
import type { IommuEvent } from "./iommu-events.ts";
import type { KnownMemory } from "./known-memory.ts";

/** One line, without what carried it. Reused: valid during the call only. */
export interface LogLine {
  /** From 1. */
  readonly number: number;
  /** The message: no time stamp, journal prefix, colour or quotation mark before it, no carriage return behind it. */
  readonly text: string;
  /** The carrier's time stamp as JSON (a number of seconds, or a string), "" where it has none. */
  readonly ts: string;
  /** Thread or CPU, where the carrier names one: lines of different ones interleave. */
  readonly origin: string;
}

/** What a reader of one format hands on. */
export interface LogOutput {
  /** Guest memory is given beside the logs, or the log has it: tables that no line shows may be in it. */
  readonly memory: boolean;
  /** What of it is known at the line that is being read; null where none is given. */
  readonly known: KnownMemory | null;
  /** The log has every store to tables and queues, and what was there before is given, or nothing: memory is known. */
  complete(): void;
  /** IOMMUs whose capabilities were given beside the logs. */
  readonly hosts: readonly HostIommu[];
  /** Line that is being read. */
  readonly line: number;
  /** A record of the trace, as JSON text without a newline. */
  record(type: string, text: string): void;
  /** The line that is being read belongs to the format, and says nothing that a trace holds. */
  ignored(kind: string): void;
  /** A line that was taken as the beginning of a message was never completed: it counts as this kind of ignored line. */
  retract(kind: string): void;
  /** Gives the next lines to this reader, whatever is in them, until it does not take one. */
  follow(lines: number): void;
  /** What a kernel reports, whole, for whoever wants more of it than records hold. */
  event(event: IommuEvent): void;
  /** The recorded system, or the log, has lost something: counted by kind, and said once, at the end. */
  lost(loss: Loss, count?: number): void;
}

/** Something that is missing from a log, or from what can be made of it. */
export interface Loss {
  /** What to count it by: a word or two with dashes. */
  readonly what: string;
  /** `error`: verdicts after it may be wrong. */
  readonly severity: "error" | "warning" | "info";
  /** A sentence: what is lost, and what to do about it. */
  readonly message: string;
}

/** Reads the lines of one format, in the order of the log. */
export interface LogReader {
  /** @returns whether the line is one of this format's (else others are asked) */
  line(line: LogLine): boolean;
  /** Guest memory is another from here on: what has been written to it is gone. */
  memoryReplaced?(): void;
  /** The log has ended. */
  finish?(): void;
}

/** A row of the registry. */
export interface LogFormat {
  /** What `--from` calls it. */
  readonly name: string;
  /** What it is, for `--help`. */
  readonly title: string;
  /** The vendor whose IOMMU it is about, where it is one's. */
  readonly model?: IommuModel;
  /** Each line that `detect` takes has one of these, of three ASCII characters or more; others are not looked at. */
  readonly needles: readonly string[];
  /** Whether a line is one of this format. */
  detect(text: string): boolean;
  open(output: LogOutput): LogReader;
}
