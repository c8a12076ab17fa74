import { NO_PASID, READ, UNTRANSLATED } from "../../walkers/request.ts";

/** One `outcome` record: the request, and the text of the answer to it. Reused: valid during the handler's call only. */
export class OutcomeLine {
  /** The text that `start` and `end` refer to: overwritten after the handler's call. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Line of the request in the trace, as the record says; NaN where it does not. */
  traceLine = Number.NaN;
  /** Number in the reader's `Devices`. */
  dev = 0;
  /** 0 to 2^20 - 1, or NO_PASID. */
  pasid = NO_PASID;
  /** Input address as two int32 halves. */
  addrHi = 0;
  addrLo = 0;
  /** 1 to 2^32 - 1. */
  len = 1;
  /** READ, WRITE, READ|WRITE or EXECUTE of walkers/request.ts. */
  access = READ;
  priv = false;
  /** UNTRANSLATED, TRANSLATION_REQUEST or TRANSLATED. */
  at = UNTRANSLATED;
  /** A safe integer, or NaN where absent. */
  seq = Number.NaN;
  /**
   * The answer as JSON text: the record's members from the first that is not about the request to the last, without
   * braces; or the whole record, with braces, where the two kinds are mixed.
   */
  start = 0;
  end = 0;

  clear(): void {
    this.traceLine = Number.NaN;
    this.dev = 0;
    this.pasid = NO_PASID;
    this.addrHi = 0;
    this.addrLo = 0;
    this.len = 1;
    this.access = READ;
    this.priv = false;
    this.at = UNTRANSLATED;
    this.seq = Number.NaN;
    this.start = 0;
    this.end = 0;
  }
}

/** Members of an outcome record that say which request it is about; all others are the answer. */
export const REQUEST_MEMBERS = [
  "type",
  "trace",
  "line",
  "seq",
  "ts",
  "iommu",
  "dev",
  "pasid",
  "addr",
  "len",
  "access",
  "priv",
  "at",
] as const;
