/** Worlds of a RISC-V IOMMU: every directory, either byte order, every scheme of both stages, MSI page tables. */
import type { Below, Tags } from "../../fuzz/page-tables.ts";
import { addTargets, chooseDevices, contextUses, type Mapped, ShiftedStage } from "../../fuzz/spaces.ts";
import type { FieldValues, Target, World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1 } from "../../invalidation.ts";
import { guestBits, SV32_LEVELS } from "../../page-tables/riscv-sv.ts";
import { ddi0Bits, deviceIdBits, processIdBits } from "../directory.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MODE_SV39,
  MSI_M_BASIC,
  MSIPTP_FLAT,
  MsiPte,
  PDTP_PD8,
  PDTP_PD17,
  PDTP_PD20,
  PdtEntry,
  ProcessContextLayout,
} from "../layouts.ts";
import { DDTP_1LVL, DDTP_2LVL, DDTP_3LVL } from "../registers.ts";
import { firstSvStage, type SvStage, secondSvStage } from "./spaces.ts";

const ANY_ADDRESS: readonly Mapped[] = [{ iova: 0x1234_5000n, bytes: 0x1000n }];
/** Bits of a process_id and of a device_id that each directory level but the last resolves. */
const INDEX_BITS = 9;
const LAST_PROCESS_BITS = 8;
/** Pages of the interrupt files of a guest, and which of their number's bits number the file. */
const MSI_PATTERN = 0x2_8000n;
const MSI_MASK = 0x3n;
const SCHEMES = { 2: "Sv32", 3: "Sv39", 4: "Sv48", 5: "Sv57" } as const;
type Levels = keyof typeof SCHEMES;

export function buildRiscvWorld(world: World): void {
  setRegisters(world);
  const { random } = world;
  const msiFlat = world.field("capabilities", "MSI_FLAT");
  const mode = random.pick([DDTP_1LVL, DDTP_2LVL, DDTP_3LVL]);
  const root = world.alloc(4096);
  world.register("ddtp", { iommu_mode: mode, PPN: root >> 12n });
  const ids = 2 ** deviceIdBits(mode, msiFlat);
  for (const device of chooseDevices(world, 3, ids, () =>
    random.below(random.oneIn(2) ? Math.min(64, ids) : ids),
  ))
    addDevice(world, root, mode, device);
}

function setRegisters(world: World): void {
  const { random } = world;
  const lacks = (n: number) => (random.oneIn(n) ? 0 : 1);
  const stages = ["Sv32", "Sv39", "Sv48", "Sv57", "Sv32x4", "Sv39x4", "Sv48x4", "Sv57x4"];
  const capabilities = {
    ...Object.fromEntries(stages.map((scheme) => [scheme, lacks(6)])),
    ...{ version: 0x10, Svrsw60t59b: random.below(2), Svpbmt: random.below(2), custom: 0 },
    ...{ MSI_FLAT: random.below(2), MSI_MRIF: random.below(2), AMO_HWAD: random.below(2), AMO_MRIF: 0 },
    ...{ ATS: lacks(3), T2GPA: lacks(3), END: lacks(3), PAS: random.pick([56, 56, 46, 40]), QOSID: lacks(3) },
    ...{ PD8: lacks(6), PD17: lacks(6), PD20: lacks(6), NL: lacks(3), S: lacks(3), IGS: 0, HPM: 0, DBG: 0 },
  };
  world.register("capabilities", capabilities);
  const either = world.has("capabilities", "END");
  const gxl =
    world.has("capabilities", "Sv32x4") && world.has("capabilities", "Sv32") && random.oneIn(5) ? 1 : 0;
  world.register("fctl", { BE: either && random.oneIn(3) ? 1 : 0, GXL: gxl, WSI: 0 });
}

/** What one device's requests go through. */
interface Setting {
  readonly be: boolean;
  readonly sbe: boolean;
  readonly sxl: boolean;
  readonly second: SvStage | null;
  readonly below: Below | null;
  readonly gscid: number;
  /** Bits of guest-physical addresses. */
  readonly guestBits: number;
}

function addDevice(world: World, root: bigint, mode: number, device: number): void {
  const { random } = world;
  const be = world.has("fctl", "BE");
  const msiFlat = world.field("capabilities", "MSI_FLAT");
  const low = ddi0Bits(msiFlat);
  const path: WorldEntry[] = [];
  let table = root;
  for (let level = mode - DDTP_1LVL; level > 0; level--) {
    const shift = low + INDEX_BITS * (level - 1);
    const index = level === 2 ? device >>> shift : (device >>> shift) & (2 ** INDEX_BITS - 1);
    const at = table + BigInt(DdtEntry.bytes * index);
    table = world.tableOf(at, "PPN");
    path.push(world.put(DdtEntry, at, { V: 1, PPN: table >> 12n }, !be));
  }
  const layout = msiFlat !== 0 ? DeviceContextLayout : BaseDeviceContext;
  const at = table + BigInt(layout.bytes * (device & (2 ** low - 1)));
  const sbe = world.has("capabilities", "END") ? random.oneIn(3) : be;
  const withFirst = random.below(4) !== 0;
  const setting = settingOf(world, be, sbe, withFirst);
  const msi = msiFlat !== 0 && setting.second !== null && random.oneIn(2);
  const common = {
    ...{ V: 1, SBE: sbe ? 1 : 0, SXL: setting.sxl ? 1 : 0, DTF: random.oneIn(6) ? 1 : 0 },
    ...{ iohgatp_PPN: (setting.second?.tables.root ?? 0n) >> 12n, GSCID: setting.gscid },
    ...{ iohgatp_MODE: setting.second === null ? 0 : modeOf(setting.second.levels) },
    ...(world.has("capabilities", "AMO_HWAD") ? { SADE: random.below(2), GADE: random.below(2) } : {}),
    ...(msi ? msiFields(world, be) : {}),
    ...(world.withAts ? atsFields(world, setting) : {}),
  };
  const pdt = withFirst && world.limits.pasid && random.oneIn(2) ? directoryModes(world) : [];
  const entry = world.put(layout, at, common, !be);
  path.push(entry);
  if (pdt.length > 0) addProcesses(world, device, entry, random.pick(pdt), setting, path);
  else addPlainDevice(world, device, entry, withFirst, msi, setting, path);
}

function atsFields(world: World, { second }: Setting): FieldValues {
  const { random } = world;
  if (!world.has("capabilities", "ATS") || random.oneIn(2)) return {};
  const guests = second !== null && world.has("capabilities", "T2GPA");
  return { EN_ATS: 1, T2GPA: guests ? random.below(2) : 0 };
}

function settingOf(world: World, be: boolean, sbe: boolean, withFirst: boolean): Setting {
  const { random } = world;
  const sxl = world.has("fctl", "GXL");
  const schemes = levelsOf(world, sxl, "x4");
  const withSecond = schemes.length > 0 && random.below(5) < 3;
  const levels = withSecond ? random.pick(schemes) : 0;
  const bits = levels === 0 ? 64 : Math.min(guestBits(levels), sxl ? guestBits(SV32_LEVELS) : 64);
  const second = levels === 0 ? null : secondSvStage(world, levels, be, !withFirst, bits);
  const below = second !== null && withFirst ? new ShiftedStage(second.tables, bits, 12) : null;
  const gscid = second === null ? 0 : world.freshId("GSCID", 2 ** 16);
  return { be, sbe, sxl, second, below, gscid, guestBits: bits };
}

function levelsOf(world: World, sxl: boolean, suffix: "" | "x4"): Levels[] {
  const levels: readonly Levels[] = sxl ? [SV32_LEVELS] : [3, 4, 5];
  return levels.filter((n) => world.has("capabilities", `${SCHEMES[n]}${suffix}`));
}

/** iosatp.MODE and iohgatp.MODE of a scheme. */
function modeOf(levels: number): number {
  return levels === SV32_LEVELS ? MODE_SV39 : MODE_SV39 + levels - 3;
}

function directoryModes(world: World): number[] {
  const modes = { PD8: PDTP_PD8, PD17: PDTP_PD17, PD20: PDTP_PD20 };
  return Object.entries(modes).flatMap(([name, mode]) => (world.has("capabilities", name) ? [mode] : []));
}

/** The MSI page table of a device: a page for each of its interrupt files. */
function msiFields(world: World, be: boolean): FieldValues {
  const table = world.alloc(4096);
  for (let file = 0n; file <= MSI_MASK; file++)
    world.put(MsiPte, table + file * 16n, { V: 1, M: MSI_M_BASIC, PPN: world.page(12, 40) >> 12n }, !be);
  return {
    msiptp_PPN: table >> 12n,
    msiptp_MODE: MSIPTP_FLAT,
    msi_addr_mask: MSI_MASK,
    msi_addr_pattern: MSI_PATTERN,
  };
}

function tagsOf(device: number, pasid: number, { second, gscid }: Setting, pscid: number) {
  const domain = second === null ? -1 : gscid;
  return { device, pasid, domain, space: pscid, regime: REGIME_EL1, nested: second !== null && pscid >= 0 };
}

/** Each guest has PSCIDs of its own, and the host too. */
function freshPscid(world: World, { second, gscid }: Setting): number {
  return world.freshId(`PSCID of ${second === null ? "the host" : gscid}`, 2 ** 20);
}

/** Tables of the first stage, or null where no scheme fits. */
function firstOf(world: World, { sxl, sbe, below, guestBits: bits }: Setting): SvStage | null {
  const schemes = levelsOf(world, sxl, "");
  return schemes.length === 0 ? null : firstSvStage(world, world.random.pick(schemes), sbe, below, bits);
}

/** Says who uses the entries of a device's MSI page table: IOTINVAL.GVMA drops what is cached of them (3.1.1). */
function useFiles(world: World, { address }: WorldEntry, { be }: Setting, tags: Tags, target: Target): void {
  const table = world.read(address, "msiptp_PPN") << 12n;
  for (let file = 0n; file <= MSI_MASK; file++) {
    const pte = world.put(MsiPte, table + file * 16n, {}, !be);
    const frame = Number(MSI_PATTERN + file);
    pte.uses.push({
      ...tags,
      cache: "iotlb",
      stage: 2,
      level: 1,
      table: false,
      above: false,
      whole: false,
      frame,
      shift: 12,
    });
    pte.targets.push({ ...target, address: (MSI_PATTERN + file) << 12n, bytes: 1n << 12n });
  }
}

/** A device without a process directory. */
function addPlainDevice(
  world: World,
  device: number,
  entry: WorldEntry,
  withFirst: boolean,
  msi: boolean,
  setting: Setting,
  path: readonly WorldEntry[],
): void {
  const first = withFirst ? firstOf(world, setting) : null;
  const pscid = first === null ? -1 : freshPscid(world, setting);
  if (first !== null)
    world.put(
      entry.layout,
      entry.address,
      { fsc_PPN: first.tables.rootPointer >> 12n, fsc_MODE: modeOf(first.levels), PSCID: pscid },
      !setting.be,
    );
  const tags = tagsOf(device, -1, setting, pscid);
  for (const upper of path) upper.uses.push(...contextUses(tags, "context", first === null ? 2 : 1));
  const mapped = first?.mapped ?? setting.second?.mapped ?? ANY_ADDRESS;
  const files = msi && first === null ? [{ iova: MSI_PATTERN << 12n, bytes: (MSI_MASK + 1n) << 12n }] : [];
  const targets = addTargets(world, device, undefined, [...mapped, ...files], path);
  if (files.length > 0) useFiles(world, entry, setting, tags, targets.get(files[0]!.iova)!);
  first?.tables.usedBy(tags, (iova) => targets.get(iova));
  const [any] = targets.values();
  setting.second?.tables.usedBy(tags, (iova) => (first === null ? targets.get(iova) : any));
}

function addProcesses(
  world: World,
  device: number,
  entry: WorldEntry,
  mode: number,
  setting: Setting,
  path: readonly WorldEntry[],
): void {
  const { random } = world;
  const root = world.alloc(4096);
  const dpe = random.oneIn(2);
  const pointer = setting.below?.toIntermediate(root, 12) ?? root;
  const fields = { PDTV: 1, DPE: dpe ? 1 : 0, fsc_PPN: pointer >> 12n, fsc_MODE: mode };
  world.put(entry.layout, entry.address, fields, !setting.be);
  const ids = 2 ** processIdBits(mode);
  const tables = new Map<bigint, bigint>();
  for (const pid of new Set([0, random.below(ids), random.below(Math.min(ids, 16))])) {
    let table = root;
    const above = [...path];
    for (let level = mode - 1; level > 0; level--) {
      const shift = LAST_PROCESS_BITS + INDEX_BITS * (level - 1);
      const index = (pid >>> shift) & (2 ** INDEX_BITS - 1);
      const at = table + BigInt(PdtEntry.bytes * index);
      table = tables.get(at) ?? world.alloc(4096);
      tables.set(at, table);
      const next = setting.below?.toIntermediate(table, 12) ?? table;
      above.push(world.put(PdtEntry, at, { V: 1, PPN: next >> 12n }, !setting.sbe));
    }
    const at = table + BigInt(ProcessContextLayout.bytes * (pid & (2 ** LAST_PROCESS_BITS - 1)));
    addProcess(world, device, pid, dpe && pid === 0, at, setting, above);
  }
}

/** @param plain requests without process_id use it as well */
function addProcess(
  world: World,
  device: number,
  pid: number,
  plain: boolean,
  at: bigint,
  setting: Setting,
  above: readonly WorldEntry[],
): void {
  const { random } = world;
  const first = firstOf(world, setting);
  const pscid = freshPscid(world, setting);
  const fields = {
    ...{ V: 1, ENS: random.below(2), SUM: random.below(2), PSCID: pscid },
    ...{
      fsc_PPN: (first?.tables.rootPointer ?? 0n) >> 12n,
      fsc_MODE: first === null ? 0 : modeOf(first.levels),
    },
  };
  const entry = world.put(ProcessContextLayout, at, fields, !setting.sbe);
  const tags = tagsOf(device, pid, setting, first === null ? -1 : pscid);
  for (const upper of above) upper.uses.push(...contextUses(tags, "context", 1));
  entry.uses.push(...contextUses(tags, "pasid", 1));
  const path = [...above, entry];
  const named = pid < world.limits.leastPasid ? [] : [pid];
  for (const asked of plain ? [undefined, ...named] : named) {
    const targets = addTargets(world, device, asked, first?.mapped ?? ANY_ADDRESS, path);
    first?.tables.usedBy(tags, (iova) => targets.get(iova));
    const [any] = targets.values();
    setting.second?.tables.usedBy(tags, () => any);
  }
}
