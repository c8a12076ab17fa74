import { type Bug, type Misreading, misreading } from "../../fuzz/bug.ts";
import { granuleGeometry } from "../../page-tables/vmsav8-64.ts";
import { Stage1Descriptor } from "../../page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor } from "../../page-tables/vmsav8-64-stage2.ts";
import { Cd } from "../cd.ts";
import { C_BAD_CD, C_BAD_STE, F_ACCESS, F_ADDR_SIZE, F_PERMISSION, F_TRANSLATION } from "../faults.ts";
import { ADDRESS_BITS } from "../features.ts";
import { Cr0, Idr0, Idr1, Idr5 } from "../registers.ts";
import { CONFIG_BYPASS, L1Std, PRIVCFG_PRIVILEGED, Ste } from "../ste.ts";
import type { StreamContext } from "../stream-context.ts";
import type { SubstreamContext } from "../substream-context.ts";
import type { SmmuV3Walker } from "../walker.ts";
import { basesThroughStage2 } from "./bases-through-stage2.ts";
import { startAnywhere, startUnchecked } from "./stage2-start.ts";
import { tablePermissionsFirst, wideInputUnrecorded } from "./walk-order.ts";

const config = Ste.reader("Config");
const inputSize = Ste.reader("S2T0SZ");
const outputSize = Ste.reader("S2PS");
const SPAN_ONES = 31n;
const LOW_BYTE = 0xffn;

/** A walk starts there at the earliest. */
const FIRST_LEVEL = -1;

const idr0 = (values: Readonly<Record<string, number>>) => ({ idr0: { layout: Idr0, values } });
const idr5 = (values: Readonly<Record<string, number>>) => ({ idr5: { layout: Idr5, values } });

/** The fault is that of an entry which is not valid, where it is to translate at all. */
const invalidWith = (field: "S1CDMax" | "S1STALLD"): Misreading => {
  const read = Ste.reader(field);
  return {
    layout: Ste,
    change(view) {
      if (read(view, 0) !== 0 && config(view, 0) > CONFIG_BYPASS) Ste.encode({ V: 0 }, view, 0);
    },
  };
};

const WIDE_INPUT_AS_INVALID: Misreading = {
  layout: Ste,
  change(view) {
    const output = ADDRESS_BITS[outputSize(view, 0)]!;
    if ((config(view, 0) & 6) === 6 && 64 - inputSize(view, 0) > output) Ste.encode({ V: 0 }, view, 0);
  },
};

export const SMMUV3_BUGS: readonly Bug[] = [
  // ── stream table entries ──
  {
    name: "span-doubled",
    text: "takes a level 2 array of the stream table for twice as large as L1STD.Span says",
    source: "IHI 0070, 5.1",
    misreads: [misreading(L1Std, { Span: (span) => (span < SPAN_ONES ? span + 1n : span) })],
  },
  {
    name: "unaligned-arrays",
    text: "takes level 2 arrays of the stream table from where L1STD.L2Ptr points, not from where they are aligned to",
    source: "IHI 0070, 5.1 L2Ptr",
    walker: (walker) => {
      (walker as SmmuV3Walker).structures.alignsArrays = false;
    },
  },
  {
    name: "abort-as-bypass",
    text: "lets streams bypass whose configuration is to abort",
    source: "IHI 0070, 5.2 Config",
    misreads: [misreading(Ste, { Config: (config) => (config < 4n ? 4n : config) })],
  },
  {
    name: "stage-1-alone",
    text: "leaves out stage 2 where both stages are configured",
    source: "IHI 0070, 5.2 Config",
    misreads: [misreading(Ste, { Config: (config) => (config === 7n ? 5n : config) })],
  },
  {
    name: "default-substream",
    text: "uses substream 0 for transactions without SubstreamID, whatever S1DSS says",
    source: "IHI 0070, 5.2 S1DSS",
    misreads: [misreading(Ste, { S1DSS: 2 })],
  },
  {
    name: "substream-range",
    text: "takes SubstreamIDs beyond S1CDMax",
    source: "IHI 0070, 5.2 S1CDMax",
    misreads: [misreading(Ste, { S1CDMax: (max) => (max === 0n || max > 29n ? max : max + 2n) })],
  },
  {
    name: "vmid-8-bits",
    text: "tags translations with the low 8 bits of S2VMID alone",
    source: "IHI 0070, 3.17",
    misreads: [misreading(Ste, { S2VMID: (vmid) => vmid & LOW_BYTE })],
  },
  {
    name: "always-recorded",
    text: "records stage 2 faults whatever S2R says",
    source: "IHI 0070, 5.5",
    misreads: [misreading(Ste, { S2R: 1 })],
  },
  {
    name: "stage-2-table-type",
    text: "ignores S2PTW: fetches stage 1 descriptors from Device memory",
    source: "IHI 0070, 5.2 S2PTW",
    misreads: [misreading(Ste, { S2PTW: 0 })],
  },
  {
    name: "stage-2-start-level",
    text: "starts a stage 2 walk one level lower than S2SL0 says",
    source: "IHI 0070, 5.2 S2SL0",
    misreads: [misreading(Ste, { S2SL0: (level) => (level === 0n ? 0n : level - 1n) })],
  },
  {
    name: "substreams-refused",
    text: "takes S1CDMax for ILLEGAL, whatever is configured that it concerns",
    source: "IHI 0070, 5.2 S1CDMax",
    misreads: [invalidWith("S1CDMax")],
  },
  {
    name: "stall-disable-refused",
    text: "takes S1STALLD for ILLEGAL, whatever is configured that it concerns",
    source: "IHI 0070, 5.2 S1STALLD",
    misreads: [invalidWith("S1STALLD")],
  },
  {
    name: "input-within-output",
    text: "takes S2T0SZ for ILLEGAL where stage 2 has a wider input than S2PS",
    source: "IHI 0070, 5.2 S2T0SZ",
    misreads: [WIDE_INPUT_AS_INVALID],
  },
  {
    name: "stage-2-start-unchecked",
    text: "starts a stage 2 walk at levels that S2T0SZ leaves no bits for",
    source: "IHI 0070, 5.2 S2SL0",
    walker: startUnchecked,
    contexts: { device: startAnywhere },
  },
  {
    name: "stage-2-updates",
    text: "takes S2HA and S2HD where IDR0.HTTU does not report them",
    source: "IHI 0070, 5.2 S2HA",
    misreads: [misreading(Ste, { S2HA: 0, S2HD: 0 })],
  },
  {
    name: "first-of-concatenated",
    text: "takes the first of the tables that stage 2 concatenates for all of them",
    source: "DDI 0487, D8.2.2",
    contexts: {
      device: (context) => {
        const { stage2 } = context as StreamContext;
        stage2.startMask &= 2 ** granuleGeometry(stage2.granule).bits - 1;
      },
    },
  },
  {
    name: "ats-anyway",
    text: "takes requests of ATS whatever EATS says",
    source: "IHI 0070, 5.2 EATS",
    misreads: [misreading(Ste, { EATS: (eats) => (eats === 0n ? 1n : eats) })],
  },
  {
    name: "split-stage",
    text: "takes translated addresses for the system's where split-stage ATS makes them intermediate",
    source: "IHI 0070, 13.6.3",
    misreads: [misreading(Ste, { EATS: (eats) => (eats === 2n ? 1n : eats) })],
  },
  {
    name: "translated-unchecked",
    text: "checks no translated requests whatever CR0.ATSCHK says",
    source: "IHI 0070, 3.9.1.3",
    registers: { cr0: { layout: Cr0, values: { ATSCHK: 0 } } },
  },
  // ── context descriptors ──
  {
    name: "walks-disabled",
    text: "walks tables whose walks EPD0 disables",
    source: "IHI 0070, 5.4 EPD0",
    misreads: [misreading(Cd, { EPD0: 0 })],
  },
  {
    name: "top-byte",
    text: "ignores the top byte of addresses whatever TBI0 and TBI1 say",
    source: "IHI 0070, 5.4 TBI0",
    misreads: [misreading(Cd, { TBI0: 1, TBI1: 1 })],
  },
  {
    name: "top-byte-of-low",
    text: "applies TBI0 to both halves of the address space",
    source: "IHI 0070, 5.4 TBI1",
    contexts: {
      process: (context) => {
        const { low, high } = context as SubstreamContext;
        high.topByteIgnored = low.topByteIgnored;
      },
    },
  },
  {
    name: "always-privileged",
    text: "takes every request for a privileged one that PAN does not concern",
    source: "IHI 0070, 5.2 PRIVCFG and 5.4 PAN",
    contexts: {
      device: (context) => {
        (context as StreamContext).privcfg = PRIVCFG_PRIVILEGED;
      },
      process: (context) => {
        (context as SubstreamContext).pan = false;
      },
    },
  },
  {
    name: "write-execute",
    text: "executes from writable pages whatever WXN says",
    source: "IHI 0070, 5.4 WXN",
    misreads: [misreading(Cd, { WXN: 0 })],
  },
  {
    name: "privileged-access",
    text: "ignores PAN",
    source: "IHI 0070, 5.4 PAN",
    misreads: [misreading(Cd, { PAN: 0 })],
  },
  {
    name: "asid-8-bits",
    text: "tags translations with the low 8 bits of an ASID alone",
    source: "IHI 0070, 3.17",
    misreads: [misreading(Cd, { ASID: (asid) => asid & LOW_BYTE })],
  },
  {
    name: "output-size",
    text: "checks no address size: IPS and S2PS are taken for the largest",
    source: "IHI 0070, 3.4",
    misreads: [misreading(Cd, { IPS: 6 }), misreading(Ste, { S2PS: 6 })],
  },
  {
    name: "table-attributes",
    text: "applies APTable and its like although CD.HAD disables them",
    source: "IHI 0070, 5.4 HAD0",
    misreads: [misreading(Cd, { HAD0: 0, HAD1: 0 })],
  },
  {
    name: "wide-input-unrecorded",
    text: "records nothing of addresses beyond the IAS that go to stage 2",
    source: "IHI 0070, 3.4",
    walker: wideInputUnrecorded,
  },
  {
    name: "bases-through-stage-2",
    text: "puts the bases of stage 1 tables through stage 2, both roots' with the descriptor, not what it fetches",
    source: "IHI 0070, 3.3.2; DDI 0487, D8.2",
    walker: basesThroughStage2,
  },
  // ── descriptors ──
  {
    name: "hierarchical-permissions",
    text: "ignores APTable, PXNTable and UXNTable",
    source: "DDI 0487, D8.4.1",
    misreads: [misreading(Stage1Descriptor, { APTABLE: 0, PXNTABLE: 0, UXNTABLE: 0 }, [-1, 0, 1, 2])],
  },
  {
    name: "access-flag",
    text: "takes the access flag as set",
    source: "IHI 0070, 7.3.15",
    misreads: [misreading(Stage1Descriptor, { AF: 1 }), misreading(Stage2Descriptor, { AF: 1 })],
  },
  {
    name: "stage-2-permission",
    text: "reads what stage 2 makes write-only",
    source: "DDI 0487, D8.4.2",
    misreads: [misreading(Stage2Descriptor, { S2AP: (ap) => (ap === 2n ? 3n : ap) })],
  },
  {
    name: "execute-never",
    text: "executes from pages that stage 2 makes execute-never",
    source: "DDI 0487, D8.4.2",
    misreads: [misreading(Stage2Descriptor, { XN: 0 })],
  },
  {
    name: "never-global",
    text: "tags global translations with the ASID that they were made under",
    source: "IHI 0070, 3.17",
    misreads: [misreading(Stage1Descriptor, { NG: 1 })],
  },
  {
    name: "block-anywhere",
    text: "takes a reserved descriptor of level 3 for a page",
    source: "DDI 0487, D8.3.1",
    misreads: [
      misreading(Stage1Descriptor, { TYPE: 1 }, [3]),
      misreading(Stage2Descriptor, { TYPE: 1 }, [3]),
    ],
  },
  {
    name: "block-levels",
    text: "takes blocks at levels that have none",
    source: "DDI 0487, D8.3.1",
    contexts: {
      device: (context) => {
        (context as StreamContext).stage2.firstBlockLevel = FIRST_LEVEL;
      },
      process: (context) => {
        const { low, high } = context as SubstreamContext;
        for (const { tables } of [low, high]) tables.firstBlockLevel = FIRST_LEVEL;
      },
    },
  },
  {
    name: "table-permissions-first",
    text: "denies writes at the first table whose APTable does, whatever lies further down",
    source: "IHI 0070, 7.3.22; DDI 0487, D8.4.1",
    walker: tablePermissionsFirst,
  },
  {
    name: "table-size",
    text: "follows addresses of tables beyond IPS and S2PS",
    source: "IHI 0070, 3.4",
    contexts: {
      device: (context) => {
        (context as StreamContext).stage2.tableFrames = Number.POSITIVE_INFINITY;
      },
      process: (context) => {
        const { low, high } = context as SubstreamContext;
        for (const { tables } of [low, high]) tables.tableFrames = Number.POSITIVE_INFINITY;
      },
    },
  },
  // ── capabilities ──
  {
    name: "any-granule",
    text: "walks tables of granules that IDR5 does not report",
    source: "IHI 0070, 6.3.6",
    registers: idr5({ GRAN4K: 1, GRAN16K: 1, GRAN64K: 1 }),
  },
  {
    name: "any-address-size",
    text: "puts out addresses beyond IDR5.OAS",
    source: "IHI 0070, 3.4",
    registers: idr5({ OAS: 6 }),
  },
  {
    name: "wide-ids",
    text: "takes VMIDs and ASIDs of 16 bits that IDR0 does not report",
    source: "IHI 0070, 5.2.2 and 5.4.2",
    registers: idr0({ VMID16: 1, ASID16: 1 }),
  },
  {
    name: "wide-substreams",
    text: "takes S1CDMax beyond IDR1.SSIDSIZE",
    source: "IHI 0070, 5.2.2",
    registers: { idr1: { layout: Idr1, values: { SSIDSIZE: 20 } } },
  },
  {
    name: "two-level-contexts",
    text: "walks 2-level context descriptor tables that IDR0.CD2L does not report",
    source: "IHI 0070, 5.2.2",
    registers: idr0({ CD2L: 1 }),
  },
  // ── events ──
  {
    name: "context-as-stream",
    text: "reports C_BAD_STE where the context descriptor is bad",
    source: "IHI 0070, 7.3.12",
    reports: { [C_BAD_CD.name]: C_BAD_STE },
  },
  {
    name: "size-as-translation",
    text: "reports F_TRANSLATION where an address is too wide",
    source: "IHI 0070, 7.3.14",
    reports: { [F_ADDR_SIZE.name]: F_TRANSLATION },
  },
  {
    name: "permission-as-access",
    text: "reports F_ACCESS where permission is denied",
    source: "IHI 0070, 7.3.16",
    reports: { [F_PERMISSION.name]: F_ACCESS },
  },
];
