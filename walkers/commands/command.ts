/**
 * Native commands of invalidation and command queues: decoded into what they invalidate, checked, printed, encoded.
 * Each vendor declares its own in `walkers/<vendor>/commands.ts`.
 */

import { Invalidation, REJECTED } from "../invalidation.ts";
import type { DecodedField, Layout } from "../layout.ts";
import type { IommuModel } from "../models.ts";
import { IommuState, type Word64 } from "../registers.ts";
import { VENDORS } from "../registry.ts";
import { hex, joined } from "../word64.ts";
import { type CommandProblem, type CommandSet, type CommandSpec, Problems } from "./command-set.ts";

/** Stands where a vendor's commands are not known: no words are a command. */
const NO_COMMANDS: CommandSet = {
  specs: [],
  wordCounts: [2, 4],
  reserved: { kind: "reserved", source: "" },
  separator: " ",
  opcode: (view) => view.getUint8(0),
  find: () => null,
  unknown: () => {},
  capabilities: () => null,
  has: () => true,
};

/** The commands of a model; none where they are not known. */
export function commandSetOf(model: IommuModel): CommandSet {
  return VENDORS[model].commands ?? NO_COMMANDS;
}

/**
 * The commands of a queue, or the one that a register asks for.
 * @param register by its name in traces; undefined: the queue
 * @throws RangeError for a register that asks for none
 */
function setOf(model: IommuModel, register: string | undefined): CommandSet {
  if (register === undefined) return commandSetOf(model);
  const command = VENDORS[model].registerCommands[register];
  if (command === undefined) throw new RangeError(`${model} has no command in register ${register}`);
  return command.set;
}

/** A row of the documentation: what a command makes certain. */
export interface CommandCoverage {
  readonly command: string;
  readonly covers: string;
  readonly doesNotCover: string;
  /** Document and section. */
  readonly source: string;
}

export function commandCoverage(model: IommuModel): CommandCoverage[] {
  const registers = Object.values(VENDORS[model].registerCommands);
  const specs = [...commandSetOf(model).specs, ...registers.flatMap(({ set }) => set.specs)];
  return specs.map((spec) => ({
    command: spec.name,
    ...spec.coverage,
    source: spec.source ?? spec.layout.source,
  }));
}

/** Largest command: 256 bits. */
const MAX_WORDS = 4;

interface ReservedMask {
  readonly words: Uint32Array;
}

/**
 * Decodes the commands of one IOMMU. For every command of a trace: nothing is allocated, and the result is reused.
 */
export class CommandDecoder {
  readonly set: CommandSet;
  /** The last command's words, little-endian; those it does not have are zero. */
  readonly view = new DataView(new ArrayBuffer(8 * MAX_WORDS));
  /** The last command; null: unknown, or of a length that no command has. */
  spec: CommandSpec | null = null;
  /** The last command's status: ACCEPTED, UNPREDICTABLE, RESERVED_BITS or REJECTED. */
  status = 0;
  readonly #invalidation = new Invalidation();
  readonly #quiet = new Problems();
  #caps: unknown;
  readonly #reserved = new Map<Layout, ReservedMask>();
  /** The last command that waits for others, which is most often like the one before it: its words, its kind and its status. */
  readonly #wait = new Int32Array(2 * MAX_WORDS);
  #waitWords = 0;
  #waitSpec: CommandSpec | null = null;
  #waitStatus = 0;

  /**
   * @param state what is known of the IOMMU; what is not, refuses nothing
   * @param register decodes what is written to it, not commands of the queue
   */
  constructor(model: IommuModel, state: IommuState = new IommuState(), register?: string) {
    this.set = setOf(model, register);
    this.#caps = this.set.capabilities(state);
  }

  /** Takes over registers and properties after a change. */
  configure(state: IommuState): void {
    this.#caps = this.set.capabilities(state);
    this.#reserved.clear();
    this.#waitSpec = null;
  }

  /**
   * What a command invalidates.
   * @param words 64-bit words, lowest address first
   * @returns null where it invalidates nothing that translates; else an object that is valid until the next call,
   *   whose `status` says whether the specification stands behind it
   */
  invalidation(words: readonly Word64[]): Invalidation | null {
    if (this.#isLastWait(words)) return null;
    this.check(words, this.#quiet);
    const out = this.#invalidation;
    const spec = this.spec;
    if (spec?.invalidate === undefined) {
      if (spec?.completion === true) this.#keepWait(words.length, spec);
      return null;
    }
    out.reset(0);
    if (!spec.invalidate(this.view, this.#caps, out)) return null;
    out.status = this.status;
    return out;
  }

  /** Whether a command is the last one that waits: then it is as good as checked. */
  #isLastWait(words: readonly Word64[]): boolean {
    if (this.#waitSpec === null || words.length !== this.#waitWords) return false;
    const wait = this.#wait;
    for (let i = 0; i < words.length; i++)
      if (words[i]!.lo !== wait[2 * i] || words[i]!.hi !== wait[2 * i + 1]) return false;
    this.#load(words);
    this.spec = this.#waitSpec;
    this.status = this.#waitStatus;
    return true;
  }

  #keepWait(count: number, spec: CommandSpec): void {
    for (let i = 0; i < this.#wait.length; i++) this.#wait[i] = this.view.getInt32(4 * i, true);
    this.#waitWords = count;
    this.#waitSpec = spec;
    this.#waitStatus = this.status;
  }

  /** Whether the last command waits until those before it are complete. A command that is refused does not. */
  get completion(): boolean {
    return this.spec?.completion === true && this.status !== REJECTED;
  }

  /** Finds the command of these words and checks it. */
  check(words: readonly Word64[], problems: Problems): void {
    const set = this.set;
    this.#load(words);
    problems.begin(null);
    if (!set.wordCounts.includes(words.length)) {
      this.spec = null;
      const expected = set.wordCounts.join(" or ");
      problems.illegal("", `expected ${expected} words, found ${words.length}`, set.reserved.source);
      this.status = problems.status;
      return;
    }
    const spec = set.find(this.view);
    this.spec = spec;
    if (spec === null) set.unknown(this.view, problems);
    else {
      problems.begin(spec.layout);
      set.checkAll?.(this.view, words.length, this.#caps, problems);
      this.#checkReserved(spec, problems);
      spec.check?.(this.view, this.#caps, problems);
    }
    this.status = problems.status;
  }

  #load(words: readonly Word64[]): void {
    for (let i = 0; i < MAX_WORDS; i++) {
      const word = words[i];
      this.view.setInt32(8 * i, word === undefined ? 0 : word.lo, true);
      this.view.setInt32(8 * i + 4, word === undefined ? 0 : word.hi, true);
    }
  }

  #checkReserved(spec: CommandSpec, problems: Problems): void {
    let mask = this.#reserved.get(spec.layout);
    if (mask === undefined) {
      mask = { words: spec.layout.reserved((c) => this.set.has(this.#caps, c)) };
      this.#reserved.set(spec.layout, mask);
    }
    const { kind, source } = this.set.reserved;
    for (let i = 0; i < mask.words.length; i++) {
      const found = (this.view.getInt32(4 * i, true) & mask.words[i]!) >>> 0;
      if (found === 0) continue;
      const low = 32 * i + (31 - Math.clz32(found & -found));
      const high = 32 * i + (31 - Math.clz32(found));
      problems.reserved(kind, high === low ? `${low}` : `${high}:${low}`, hex(found >>> (low & 31)), source);
    }
  }
}

/** A command as a person reads it. */
export interface DecodedCommand {
  readonly model: IommuModel;
  /** The words as given. */
  readonly words: readonly Word64[];
  /** Opcode or descriptor type. */
  readonly opcode: number;
  /** As the specification spells it; "unknown" where it has no such command. */
  readonly name: string;
  readonly layout: Layout | null;
  readonly fields: readonly DecodedField[];
  readonly problems: readonly CommandProblem[];
  /** What it invalidates; null where that is nothing that translates. */
  readonly invalidation: Invalidation | null;
  /** It waits until the commands before it are complete. */
  readonly completion: boolean;
  /** The operands in the vendor's own syntax. */
  readonly operands: string;
}

/**
 * Decodes one command for printing (see `CommandDecoder` for many).
 * @param words 64-bit words, lowest address first: VT-d 2 or 4, else 2
 * @param state what is known of the IOMMU; what is not, refuses nothing
 * @param register whose value it is, with those of the registers that belong to it; undefined: a command of the queue
 */
export function decodeCommand(
  model: IommuModel,
  words: readonly Word64[],
  state: IommuState = new IommuState(),
  register?: string,
): DecodedCommand {
  const decoder = new CommandDecoder(model, state, register);
  const invalidation = decoder.invalidation(words);
  const completion = decoder.completion;
  const problems: CommandProblem[] = [];
  decoder.check(words, new Problems(problems));
  const { view, set } = decoder;
  // Of a command that breaks off, the opcode still says which one it is.
  const short = words.length > 0 && words.length < Math.min(...set.wordCounts);
  const spec = short ? set.find(view) : decoder.spec;
  return {
    model,
    words,
    opcode: decoder.set.opcode(view),
    name: spec?.name ?? "unknown",
    layout: spec?.layout ?? null,
    fields: spec?.layout.decode(view, 0) ?? [],
    problems,
    invalidation,
    completion,
    operands: (short ? undefined : spec?.operands?.(view)) ?? "",
  };
}

/** One line in the vendor's own syntax: "IOTLB invalidate: domain-selective, DID 5", "CMD_TLBI_NH_ASID VMID 0 ASID 5". */
export function formatCommand(command: DecodedCommand): string {
  if (command.layout === null) {
    const words = command.words.map((w) => hex(joined(w.hi, w.lo))).join(" ");
    return `unknown command, opcode ${hex(command.opcode)}: ${words}`;
  }
  const separator = commandSetOf(command.model).separator;
  return command.operands === "" ? command.name : command.name + separator + command.operands;
}

/**
 * The words of a command.
 * @param name as the specification spells it (`commandCoverage` lists them)
 * @param fields by the layout's names; an address as its frame number, or as the whole byte address in a bigint
 * @param wordCount where the vendor has commands of several lengths
 * @param register that asks for it; undefined: a command of the queue
 * @throws RangeError for a name, a field or a value that the vendor does not have
 */
export function encodeCommand(
  model: IommuModel,
  name: string,
  fields: Readonly<Record<string, number | bigint>> = {},
  wordCount?: number,
  register?: string,
): Word64[] {
  const set = setOf(model, register);
  const spec = set.specs.find((s) => s.name === name);
  if (spec === undefined) throw new RangeError(`${model} has no command ${name}`);
  const count = wordCount ?? spec.words ?? set.wordCounts[0]!;
  if (!set.wordCounts.includes(count))
    throw new RangeError(`${name}: expected ${set.wordCounts.join(" or ")} words, found ${count}`);
  for (const [field, value] of Object.entries(spec.fixed))
    if (fields[field] !== undefined && BigInt(fields[field]) !== BigInt(value))
      throw new RangeError(`${name}.${field}: expected ${value}, found ${fields[field]}`);
  const bytes = spec.layout.build({ ...fields, ...spec.fixed });
  const view = new DataView(bytes.buffer);
  const words: Word64[] = [];
  for (let at = 0; at < 8 * count; at += 8)
    words.push({ hi: view.getInt32(at + 4, true), lo: view.getInt32(at, true) });
  return words;
}
