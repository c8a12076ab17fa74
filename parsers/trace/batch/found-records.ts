import type { Word64 } from "../../../walkers/registers.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../records.ts";
import type { RecordOf } from "../schema.ts";
import {
  ACCESS_GIVEN,
  HAS_SEQ,
  PRIV_GIVEN,
  RECORD_ADDR,
  RECORD_BYTES,
  RECORD_DATA,
  RECORD_DATA_BYTES,
  RECORD_DEVICE,
  RECORD_FLAGS,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PASID,
  RECORD_SEQ,
  RECORD_TS,
  RECORD_TS_BYTES,
  RECORD_WORD_COUNT,
  RECORD_WORDS,
  REQUEST_ACCESS,
  REQUEST_PRIV,
} from "./layout.ts";

/** Words of a record that a scan has found. */
const WORDS = RECORD_BYTES / 4;

/**
 * Fills in what a record says of a request, but for what was observed.
 * @param words of all records that were found
 * @param base where the text begins that `dma.bytes` is, which holds `ts`
 */
export function fillFoundDma(dma: DmaRecord, words: Int32Array, number: number, base: number): void {
  const at = number * WORDS;
  const flags = words[at + RECORD_FLAGS / 4]!;
  dma.clear();
  dma.iommu = words[at + RECORD_IOMMU / 4]!;
  dma.dev = words[at + RECORD_DEVICE / 4]!;
  dma.pasid = words[at + RECORD_PASID / 4]!;
  dma.addrLo = words[at + RECORD_ADDR / 4]!;
  dma.addrHi = words[at + RECORD_ADDR / 4 + 1]!;
  dma.len = words[at + RECORD_LEN / 4]! >>> 0;
  dma.access = flags & REQUEST_ACCESS;
  dma.accessGiven = (flags & ACCESS_GIVEN) !== 0;
  dma.priv = (flags & REQUEST_PRIV) !== 0;
  dma.privGiven = (flags & PRIV_GIVEN) !== 0;
  const tsBytes = words[at + RECORD_TS_BYTES / 4]!;
  if (tsBytes > 0) {
    dma.tsStart = words[at + RECORD_TS / 4]! - base;
    dma.tsEnd = dma.tsStart + tsBytes;
  }
  if ((flags & HAS_SEQ) === 0) return;
  const high = words[at + RECORD_SEQ / 4 + 1]!;
  dma.seq = high * 2 ** 32 + (words[at + RECORD_SEQ / 4]! >>> 0);
}

/** Fills in what a record says of a write. @param base where the text begins that `mem.bytes` is */
export function fillFoundMem(mem: MemRecord, words: Int32Array, number: number, base: number): void {
  const at = number * WORDS;
  mem.clear();
  mem.addrLo = words[at + RECORD_ADDR / 4]!;
  mem.addrHi = words[at + RECORD_ADDR / 4 + 1]!;
  mem.start = words[at + RECORD_DATA / 4]! - base;
  mem.end = mem.start + words[at + RECORD_DATA_BYTES / 4]!;
}

/** The command that a record is. */
export function foundCommand(words: Int32Array, number: number, names: TraceNames): RecordOf<"cmd"> {
  const at = number * WORDS;
  const data: Word64[] = [];
  for (let i = 0; i < words[at + RECORD_WORD_COUNT / 4]!; i++) {
    const word = at + RECORD_WORDS / 4 + 2 * i;
    data.push({ hi: words[word + 1]!, lo: words[word]! });
  }
  return { type: "cmd", iommu: names.iommus.text(words[at + RECORD_IOMMU / 4]!), data };
}
