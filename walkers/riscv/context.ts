/**
 * Decoded device and process contexts: all that a translation needs of them, as numbers, so that a context kept from
 * earlier gives the translation of then. Flags are 0 or 1.
 */
import { MODE_BARE, MSIPTP_OFF } from "./layouts.ts";

export class RiscvDevice {
  // tc
  enAts = 0;
  enPri = 0;
  t2gpa = 0;
  dtf = 0;
  pdtv = 0;
  prpr = 0;
  gade = 0;
  sade = 0;
  dpe = 0;
  sbe = 0;
  sxl = 0;
  /** iohgatp: mode, root frame, GSCID (-1: none). `secondLevels` is 0 where the second stage is Bare. */
  secondMode = MODE_BARE;
  secondFrame = 0;
  secondLevels = 0;
  gscid = -1;
  /** ta.PSCID. */
  pscid = 0;
  /** fsc: pdtp where `pdtv` is 1, else iosatp. */
  fscMode = MODE_BARE;
  fscFrame = 0;
  /** msiptp, and halves of the 52-bit page numbers of msi_addr_mask and msi_addr_pattern. */
  msiMode = MSIPTP_OFF;
  msiFrame = 0;
  maskHi = 0;
  maskLo = 0;
  patternHi = 0;
  patternLo = 0;
  /** Any bit is set that is reserved for future standard use. */
  reserved = 0;
  /** process_ids from here on are refused, whatever pdtp.MODE allows (bound devices, `pasid_bits`). */
  processIdLimit = 0;
}

export class RiscvPasidContext {
  /** A process context was located: ENS decides on supervisor requests. */
  located = 0;
  ens = 0;
  sum = 0;
  pscid = -1;
  /** First stage: root frame and number of levels; 0 levels where it is Bare. */
  firstFrame = 0;
  firstLevels = 0;
  /** Any bit is set that is reserved for future standard use. */
  reserved = 0;

  /** No first stage. */
  bare(): void {
    this.located = 0;
    this.ens = 0;
    this.sum = 0;
    this.reserved = 0;
    this.first(0, 0, -1);
  }

  /** @param pscid used where there is a first stage at all */
  first(frame: number, levels: number, pscid: number): void {
    this.firstFrame = frame;
    this.firstLevels = levels;
    this.pscid = levels === 0 ? -1 : pscid;
  }
}
