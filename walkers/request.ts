import type { TableModel } from "./models.ts";

/** Kinds of access, as bits: of a request, and of the permissions that a walk grants. */
export const READ = 1;
export const WRITE = 2;
export const EXECUTE = 4;

/** "no PASID" in `WalkRequest.pasid`. */
export const NO_PASID = -1;
/** Bits of a PASID at most: PCIe's own limit, and so every IOMMU's. */
export const MAX_PASID_BITS = 20;

/**
 * Address types, as in the AT field of a PCIe request: an ordinary request; one of ATS for a translation; and one that has
 * been translated by the answer to such.
 */
export const UNTRANSLATED = 0;
export const TRANSLATION_REQUEST = 1;
export const TRANSLATED = 2;

/**
 * One request, as a walker sees it: it never crosses a 4 KiB boundary. Reused from record to record.
 */
export class WalkRequest {
  /** Requester id, StreamID, DeviceID or device_id: 16 to 32 bits. */
  device = 0;
  /** PASID (SubstreamID, process_id), 0 to 2^20 - 1, or NO_PASID. */
  pasid = NO_PASID;
  /** The 64-bit input address, as two 32-bit halves (int32). */
  addrHi = 0;
  addrLo = 0;
  /** READ, WRITE, READ|WRITE for an atomic, or EXECUTE for a read for execute. */
  access = READ;
  /** The request asks for privileged access (meaningful with a PASID, unless the device's context says otherwise). */
  priv = false;
  /** UNTRANSLATED, TRANSLATION_REQUEST or TRANSLATED. */
  at = UNTRANSLATED;
  /** The binding of this device's PASID table, compiled by the walker's `bind`; null: start at the registers. */
  binding: Binding | null = null;

  copyFrom(other: WalkRequest): void {
    this.device = other.device;
    this.pasid = other.pasid;
    this.addrHi = other.addrHi;
    this.addrLo = other.addrLo;
    this.access = other.access;
    this.priv = other.priv;
    this.at = other.at;
    this.binding = other.binding;
  }

  clone(): WalkRequest {
    const copy = new WalkRequest();
    copy.copyFrom(this);
    return copy;
  }
}

/** What a walker makes of a `pasid_table_config`; opaque to everybody else. */
export interface Binding {
  /** Short form of the table's model, as in the trace contract. */
  readonly model: TableModel;
}
