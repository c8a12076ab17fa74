/**
 * What a walk keeps between its steps: numbers only, so that a cached context that is kept says later what it said then.
 */
import { PGTT_FIRST_STAGE, PGTT_NESTED, PGTT_PASS_THROUGH, PGTT_SECOND_STAGE } from "./structures.ts";

/** How requests of one kind are translated: as PGTT has it, which the other modes borrow. */
export const KIND_FIRST_STAGE = PGTT_FIRST_STAGE;
export const KIND_SECOND_STAGE = PGTT_SECOND_STAGE;
export const NESTED = PGTT_NESTED;
export const PASS_THROUGH = PGTT_PASS_THROUGH;

/** Which structure a device's context came from. */
export const LEGACY_CONTEXT = 0;
export const SCALABLE_CONTEXT = 1;
export const EXTENDED_CONTEXT = 2;

/** The entry that a context was decoded from, for faults that are found out later. */
export class EntrySource {
  entryFrame = -1;
  entryOffset = 0;
  entryHi = 0;
  entryLo = 0;

  copySource(from: EntrySource): void {
    this.entryFrame = from.entryFrame;
    this.entryOffset = from.entryOffset;
    this.entryHi = from.entryHi;
    this.entryLo = from.entryLo;
  }
}

/** A device's context: a context entry of any mode, or the binding of a PASID table. Flags are 0 or 1. */
export class VtdDevice extends EntrySource {
  context = LEGACY_CONTEXT;
  /** The context is a binding: there is no context entry. */
  bound = 0;
  fpd = 0;
  domain = -1;
  /** The device may keep translations by itself (ATS). */
  deviceTlb = 0;
  /** KIND_SECOND_STAGE or PASS_THROUGH: what a request undergoes for which no PASID entry is used. */
  kind = KIND_SECOND_STAGE;
  /** Second stage: root table, 0 levels where there is none (the identity). */
  secondRoot = 0;
  secondLevels = 0;

  /** Scalable mode: PASID directory; extended mode: PASID table. */
  pasidFrame = 0;
  /** PASIDs below this one are in the table. */
  pasidLimit = 0;
  pasidEnabled = 0;
  /** PASID and privilege of requests without PASID. */
  ridPasid = 0;
  ridPriv = 0;
  /** EPTR: a request that has been translated may have a PASID. */
  translatedPasid = 0;
  /** EPTR without PASIDE. */
  translatedPasidWithoutPasid = 0;

  /** Extended mode: the controls that scalable mode has in its PASID entries. */
  nested = 0;
  global = 0;
  noExecute = 0;
  writeProtect = 0;
  smep = 0;
  execute = 0;
  extendedAccessed = 0;
  secondExecute = 0;
}

/** How the requests of one PASID (or without) of one device are translated. Flags are 0 or 1. */
export class VtdPasidContext extends EntrySource {
  /** KIND_FIRST_STAGE, KIND_SECOND_STAGE, NESTED or PASS_THROUGH. */
  kind = KIND_SECOND_STAGE;
  /** Of the context entry, the PASID directory entry and the PASID table entry together. */
  fpd = 0;
  domain = -1;
  secondRoot = 0;
  secondLevels = 0;
  secondExecute = 0;
  /** Accessed and dirty flags of the second stage are in use. */
  secondFlags = 0;
  /** Page walks do not snoop caches: a flag that has to be set cannot be. */
  unsnooped = 0;
  firstRoot = 0;
  firstLevels = 0;
  supervisor = 0;
  execute = 0;
  writeProtect = 0;
  noExecute = 0;
  smep = 0;
  extendedAccessed = 0;
  /** The first stage's G flag means something. */
  global = 0;
  /** Conditions of the second stage are reported as in legacy mode. */
  legacyFaults = 0;
  /** The execute-disable flag of first-stage entries is reserved. */
  executeDisableReserved = 0;
}
