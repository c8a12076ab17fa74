import { type Bug, misreading, withoutNeeding, withoutReserved } from "../../fuzz/bug.ts";
import { SecondStageEntry } from "../../page-tables/vtd-second-stage.ts";
import { X86Entry } from "../../page-tables/x86-64.ts";
import {
  LCT_2,
  SFS_5,
  SFS_6,
  SGN_2,
  SGN_5,
  SGN_6,
  SPD_2,
  SPT_2,
  SPT_4_1,
  SPT_4_2,
  SSS_1,
  SSS_3,
} from "../faults.ts";
import { CapabilityRegister, ExtendedCapabilityRegister } from "../registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "../structures.ts";

const SOURCE = "VT-d 5.10";
/** A frame number without the bits beyond 38 address bits. */
const narrow = (frame: bigint) => frame & 0x3ff_ffffn;
const cap = (values: Readonly<Record<string, number>>) => ({ cap: { layout: CapabilityRegister, values } });
const ecap = (values: Readonly<Record<string, number>>) => ({
  ecap: { layout: ExtendedCapabilityRegister, values },
});

/** Capabilities that fields of context and PASID table entries switch on, or choose from. */
const CONTROLLED = [
  ...["DT", "PASID", "PRS", "RPRIVS"],
  ...["SSADS", "SMPWCS", "SC", "MTS", "SRS", "ERS", "EAFS", "HPTS"],
];

export const VTD_BUGS: readonly Bug[] = [
  // ── reserved bits ──
  {
    name: "root-reserved",
    text: "ignores reserved bits of root entries",
    source: `${SOURCE}, LRT.3 and SRT.3`,
    misreads: [withoutReserved(RootEntry), withoutReserved(ScalableRootEntry)],
  },
  {
    name: "context-reserved",
    text: "ignores reserved bits of context entries",
    source: `${SOURCE}, LCT.3 and SCT.3`,
    misreads: [withoutReserved(ContextEntry), withoutReserved(ScalableContextEntry)],
  },
  {
    name: "pasid-directory-reserved",
    text: "ignores reserved bits of PASID directory entries",
    source: `${SOURCE}, SPD.3`,
    misreads: [withoutReserved(PasidDirectoryEntry)],
  },
  {
    name: "pasid-reserved",
    text: "ignores reserved bits of PASID table entries",
    source: `${SOURCE}, SPT.3`,
    misreads: [withoutReserved(PasidEntry)],
  },
  {
    name: "controls-ignored",
    text: "ignores the controls of context and PASID table entries, whether it has what they control or not",
    source: `${SOURCE}, 9.4 and 9.6`,
    misreads: [withoutNeeding(ScalableContextEntry, CONTROLLED), withoutNeeding(PasidEntry, CONTROLLED)],
  },
  {
    name: "snoop-without-capability",
    text: "accepts SNP in second-stage leaves without ECAP.SC",
    source: `${SOURCE}, 9.8`,
    registers: ecap({ SC: 1 }),
  },
  {
    name: "address-38-bits",
    text: "drops the bits of first-stage entries' addresses from bit 38 on",
    source: `${SOURCE}, 3.6 and 3.7`,
    misreads: [misreading(X86Entry, { ADDR: narrow })],
  },
  // ── order ──
  {
    name: "permission-before-reserved",
    text: "checks permissions before reserved bits of entries deeper down",
    source: `${SOURCE}, 7.1.3`,
    late: [
      misreading(X86Entry, { ADDR: narrow }),
      misreading(X86Entry, { PS: 0 }, [4, 5]),
      misreading(SecondStageEntry, { ADDR: narrow, SNP: 0, IW: 0 }),
      misreading(SecondStageEntry, { PS: 0 }, [4, 5]),
    ],
  },
  // ── permissions ──
  {
    name: "upper-write",
    text: "asks only the leaf of a second stage for write permission",
    source: `${SOURCE}, 3.7`,
    misreads: [misreading(SecondStageEntry, { W: 1 }, [2, 3, 4, 5])],
  },
  {
    name: "first-stage-user",
    text: "lets user requests into supervisor pages of a first stage",
    source: `${SOURCE}, 3.6.1`,
    misreads: [misreading(X86Entry, { US: 1 })],
  },
  {
    name: "write-protect",
    text: "lets supervisor requests write read-only pages whatever WPE says",
    source: `${SOURCE}, 3.6.1`,
    misreads: [misreading(PasidEntry, { WPE: 0 })],
  },
  {
    name: "supervisor-requests",
    text: "takes supervisor requests whatever SRE says",
    source: `${SOURCE}, SGN.8`,
    misreads: [misreading(PasidEntry, { SRE: 1 })],
  },
  // ── sizes and capabilities ──
  {
    name: "gigabyte-second-stage",
    text: "takes 1 GiB pages of a second stage without CAP.SSLPS",
    source: `${SOURCE}, 9.8`,
    registers: cap({ SSLPS: 3 }),
  },
  {
    name: "five-level-first-stage",
    text: "walks 5 first-stage levels without CAP.FS5LP",
    source: `${SOURCE}, SPT.4.3`,
    registers: cap({ FS5LP: 1 }),
  },
  {
    name: "any-width",
    text: "takes every AW whatever CAP.SAGAW says",
    source: `${SOURCE}, LCT.4.1 and SPT.4.1`,
    registers: cap({ SAGAW: 0xe }),
  },
  {
    name: "guest-width",
    text: "ignores CAP.MGAW: input addresses are as wide as the tables",
    source: `${SOURCE}, LGN.1.1 and SGN.2`,
    registers: cap({ MGAW: 63 }),
  },
  {
    name: "pass-through-without-capability",
    text: "passes requests through without ECAP.PT",
    source: `${SOURCE}, LCT.4.2 and SPT.4.2`,
    registers: ecap({ PT: 1 }),
  },
  {
    name: "nested-without-capability",
    text: "walks nested tables without ECAP.NEST",
    source: `${SOURCE}, SPT.4.2`,
    registers: ecap({ NEST: 1 }),
  },
  // ── fields ──
  {
    name: "rid-pasid",
    text: "translates requests without PASID by PASID 0, whatever RID_PASID says",
    source: `${SOURCE}, 9.4`,
    misreads: [misreading(ScalableContextEntry, { RID_PASID: 0 })],
  },
  {
    name: "pasid-enable",
    text: "takes requests with PASID whatever PASIDE says",
    source: `${SOURCE}, SCT.6`,
    misreads: [misreading(ScalableContextEntry, { PASIDE: 1 })],
  },
  {
    name: "directory-size",
    text: "ignores PDTS: the PASID directory has its largest size",
    source: `${SOURCE}, SCT.9`,
    misreads: [misreading(ScalableContextEntry, { PDTS: 7 })],
  },
  {
    name: "fault-processing-disable",
    text: "records faults whatever FPD says",
    source: `${SOURCE}, 7.1.1`,
    misreads: [
      misreading(ContextEntry, { FPD: 0 }),
      misreading(ScalableContextEntry, { FPD: 0 }),
      misreading(PasidDirectoryEntry, { FPD: 0 }),
      misreading(PasidEntry, { FPD: 0 }),
    ],
  },
  {
    name: "ats-anyway",
    text: "takes requests of ATS whatever TT and DTE say",
    source: `${SOURCE}, LCT.5 and SCT.5`,
    misreads: [
      misreading(ContextEntry, { TT: (type) => (type === 0n ? 1n : type) }),
      misreading(ScalableContextEntry, { DTE: 1 }),
    ],
  },
  {
    name: "translated-pasid",
    text: "takes translated requests with a PASID whatever EPTR says",
    source: `${SOURCE}, SCT.10`,
    misreads: [misreading(ScalableContextEntry, { EPTR: (on) => on | 1n })],
  },
  // ── codes ──
  {
    name: "one-pasid-code",
    text: "reports an absent PASID table entry as an absent directory entry",
    source: `${SOURCE}, SPT.2`,
    reports: { [SPT_2.name]: SPD_2 },
  },
  {
    name: "swapped-permission-codes",
    text: "reports a read that is denied as a write",
    source: `${SOURCE}, SGN.6`,
    reports: { [SGN_6.name]: SGN_5, [SFS_6.name]: SFS_5 },
  },
  {
    name: "width-as-type",
    text: "reports a bad AW of a PASID table entry as a bad PGTT",
    source: `${SOURCE}, SPT.4.1`,
    reports: { [SPT_4_1.name]: SPT_4_2, [SPT_4_2.name]: LCT_2 },
  },
  {
    name: "second-stage-code",
    text: "reports reserved bits of a second stage as an address out of range",
    source: `${SOURCE}, SSS.3`,
    reports: { [SSS_3.name]: SGN_2, [SSS_1.name]: SGN_2 },
  },
];
