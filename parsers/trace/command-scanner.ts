/**
 * Reads `cmd` records straight from the bytes of their line, as RecordScanner does requests and writes: a trace may have a
 * command and a wait for each request. What is unusual it declines, and accepts nothing that JSON.parse and the schema would
 * refuse (test/trace-command-scanner.test.ts).
 */
import type { Word64 } from "../../walkers/registers.ts";
import { CLOSE_BRACE, COMMA, hex64At, OPEN_BRACE, QUOTE, space, wordOf } from "./bytes.ts";
import { ObjectScanner } from "./object-scanner.ts";
import { MAX_COMMAND_WORDS, MIN_COMMAND_WORDS, type RecordOf } from "./schema.ts";

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
// Names and values by their first four bytes, the closing quote included where they are shorter.
const TYPE = wordOf("type");
const DATA = wordOf("data");
const IOMM = wordOf("iomm");
const LAST_OF_IOMMU = 0x75;
const VALUE_CMD = wordOf('cmd"');
const EMPTY = new Uint8Array(0);

export class CommandScanner extends ObjectScanner {
  #typed = false;
  #words: Word64[] | null = null;
  #iommu = "";
  /** The last name of an IOMMU that was read: its bytes and its text. */
  #name = EMPTY;
  #text = "";

  /** @returns the record in bytes `start` to `end` (exclusive), where a newline is; null where it must be read otherwise */
  scan(start: number, end: number): RecordOf<"cmd"> | null {
    const { bytes } = this;
    let p = space(bytes, start);
    if (bytes[p] !== OPEN_BRACE) return null;
    this.#typed = false;
    this.#words = null;
    this.#iommu = "";
    do {
      p = this.#member(space(bytes, p + 1));
      if (p < 0) return null;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    if (bytes[p] !== CLOSE_BRACE || space(bytes, p + 1) !== end) return null;
    const data = this.#words;
    return this.#typed && data !== null && this.#iommu !== ""
      ? { type: "cmd", iommu: this.#iommu, data }
      : null;
  }

  /** Reads a field, from the opening quote of its name; a second one of that name is not plain. */
  #member(at: number): number {
    const { bytes, view } = this;
    if (bytes[at] !== QUOTE) return -1;
    const word = view.getInt32(at + 1, true);
    if (word === TYPE) {
      const p = this.valueBehind(at + 5);
      if (p === 0 || this.#typed) return -1;
      this.#typed = bytes[p] === QUOTE && view.getInt32(p + 1, true) === VALUE_CMD;
      return this.#typed ? p + 5 : -1;
    }
    if (word === DATA) {
      const p = this.valueBehind(at + 5);
      return p === 0 || this.#words !== null ? -1 : this.#data(p);
    }
    if (word !== IOMM || bytes[at + 5] !== LAST_OF_IOMMU) return -1;
    const p = this.valueBehind(at + 6);
    return p === 0 || this.#iommu !== "" ? -1 : this.#iommuName(p);
  }

  #data(at: number): number {
    const { bytes, out } = this;
    if (bytes[at] !== OPEN_BRACKET) return -1;
    const words: Word64[] = [];
    let p = at;
    do {
      p = hex64At(bytes, space(bytes, p + 1), out);
      if (p < 0 || words.length === MAX_COMMAND_WORDS) return -1;
      words.push({ hi: out.hi, lo: out.lo });
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    this.#words = words;
    return bytes[p] === CLOSE_BRACKET && words.length >= MIN_COMMAND_WORDS ? p + 1 : -1;
  }

  /** Most often it is the last record's. */
  #iommuName(at: number): number {
    const end = this.textEnd(at);
    if (end < 0) return -1;
    if (!this.#isLast(at + 1, end)) {
      this.#name = this.bytes.slice(at + 1, end);
      this.#text = String.fromCharCode(...this.#name);
    }
    this.#iommu = this.#text;
    return end + 1;
  }

  #isLast(start: number, end: number): boolean {
    const name = this.#name;
    if (end - start !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.bytes[start + i] !== name[i]) return false;
    return true;
  }
}
