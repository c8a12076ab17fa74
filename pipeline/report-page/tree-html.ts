import type { InspectionNote } from "../inspect/records.ts";
import type { DeviceMap, SpaceMap, UnitMap } from "../report/address-maps.ts";
import type { TraceReport } from "../report/trace-report.ts";
import type { AddressBlock } from "../summary/address-digest.ts";
import type { SpaceCounts } from "../summary/space-counts.ts";
import {
  deviceText,
  faultText,
  iommuText,
  limitText,
  mappedText,
  spaceText,
  TRANSLATION_WORDS,
  tableText,
} from "../words/inspect-words.ts";
import { shellWord } from "../words/shell-word.ts";
import { addressMapHtml, MAP_LEGEND } from "./address-map-html.ts";
import { EMPTY, type Html, html } from "./html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import { clip, many, number, whose } from "./words.ts";

/** Address spaces with requests that are open at first. */
const OPEN_SPACES = 4;

/** What may still be shown, and opened. */
interface Budget {
  spaces: number;
  open: number;
}

/** Requests, and where they fault, by IOMMU, device and PASID. */
class Uses {
  readonly #spaces = new Map<string, SpaceCounts>();
  readonly #faults = new Map<string, AddressBlock[]>();

  constructor({ summary }: TraceReport) {
    for (const space of summary.spaces.all)
      this.#spaces.set(keyOf(space.iommu, space.device, space.pasid), space);
    for (const { names, pasid, addresses } of summary.faults.all) {
      const key = keyOf(names.iommu, names.device, pasid);
      this.#faults.set(key, merged(this.#faults.get(key) ?? [], addresses.blocks()));
    }
  }

  take(iommu: string | undefined, dev: string, pasid = -1) {
    const key = keyOf(iommu, dev, pasid);
    const space = this.#spaces.get(key);
    this.#spaces.delete(key);
    return { space, faults: this.#faults.get(key) ?? [] };
  }

  /** Those that no table at the end stands for. */
  left(): SpaceCounts[] {
    return [...this.#spaces.values()];
  }
}

/** Blocks of both, those of the same addresses as one. */
function merged(some: readonly AddressBlock[], others: readonly AddressBlock[]): AddressBlock[] {
  const all = new Map<string, AddressBlock>();
  for (const block of [...some, ...others]) {
    const key = `${block.frame} ${block.frames}`;
    const known = all.get(key);
    all.set(key, known === undefined ? block : { ...known, count: known.count + block.count });
  }
  return [...all.values()];
}

function keyOf(iommu: string | undefined, dev: string, pasid: number): string {
  return `${iommu}\n${dev}\n${pasid}`;
}

/** Devices and PASIDs: what each translates through, what is mapped for it, and what it asked for. */
export function treeHtml(trace: ReportedTrace, view: ReportView, limits: ShownLimits): Html {
  const { report } = trace;
  const uses = new Uses(report);
  const budget = { spaces: limits.spaces, open: OPEN_SPACES };
  const units = report.maps.units.map((unit) => unitHtml(unit, uses, budget, trace, view, limits));
  const left = uses.left();
  const gone =
    left.length > 0 &&
    html`<h4>With requests, and without tables at the end</h4><ul>${left
      .slice(0, limits.spaces)
      .map(
        (space) => html`<li>${whose(space.device, space.pasid)}: ${usedText(space)}</li>`,
      )}</ul>${left.length > limits.spaces && html`<p class="more">… ${number(left.length - limits.spaces)} more</p>`}`;
  const total = report.maps.total;
  const incomplete =
    total?.complete === false &&
    html`<p class="mark">The tables hold more than was enumerated, or point back into themselves.</p>`;
  return html`<h3>Devices and address spaces</h3><p>The tables as they are after the last line. Widths grow with the logarithm of sizes.</p>${MAP_LEGEND}${incomplete}${units}${gone}`;
}

function unitHtml(
  { iommu, devices, moreDevices, plain, notes }: UnitMap,
  uses: Uses,
  budget: Budget,
  trace: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
): Html {
  const name = iommu.iommu === undefined ? "an undeclared IOMMU" : clip(iommu.iommu, limits.characters);
  const shown = devices.map((device) => deviceHtml(device, iommu.model, uses, budget, trace, view, limits));
  const plainItems = plain.map(({ dev, last, count, translation }) => {
    const use = uses.take(iommu.iommu, dev).space;
    const who = count === 1 ? dev : `${dev} to ${last} (${many(count, "device")})`;
    return html`<li>${who}: ${TRANSLATION_WORDS[translation]}${use === undefined ? "" : `; ${usedText(use)}`}</li>`;
  });
  const more = moreDevices > 0 && html`<p class="more">… ${many(moreDevices, "more device")}</p>`;
  const said = notes.map(noteHtml);
  return html`<div class="unit"><h4>${name} <span class="model">${iommu.model}</span>: ${iommuText(iommu)}</h4>${shown}${more}<ul>${plainItems}${said}</ul></div>`;
}

function deviceHtml(
  { device, spaces, more }: DeviceMap,
  model: UnitMap["iommu"]["model"],
  uses: Uses,
  budget: Budget,
  trace: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
): Html {
  const kept = spaces.slice(0, Math.max(budget.spaces, 0));
  budget.spaces -= kept.length;
  const left = more + spaces.length - kept.length;
  return html`<details class="device" open><summary><b>${device.dev}</b> ${deviceText(device)}</summary>${kept.map((space) => spaceHtml(space, model, uses, budget, trace, view, limits))}${
    left > 0 && html`<p class="more">… ${many(left, "more address space")}</p>`
  }</details>`;
}

function spaceHtml(
  map: SpaceMap,
  model: UnitMap["iommu"]["model"],
  uses: Uses,
  budget: Budget,
  { path }: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
): Html {
  const { space, notes } = map;
  const { space: used, faults } = uses.take(space.iommu, space.dev, space.pasid);
  const mapped =
    space.tables.length > 0 &&
    html`<p>${mappedText(space)}${
      space.faulty > 0 ? `; ${many(space.faulty, "faulty range")}` : ""
    }${space.complete === false ? "; incomplete" : ""}</p>`;
  const inspect = `pasid-replay inspect ${shellWord(path)} --dev ${shellWord(space.dev)} --pasid ${space.pasid ?? "none"} --maps${view.options}`;
  const faultCount = used?.faults ?? 0;
  const open = used !== undefined && budget.open-- > 0;
  return html`<details class="space"${open && html` open`}><summary>${spaceText(model, space)}${
    used === undefined ? "" : html` · <span class="${faultCount > 0 ? "bad" : ""}">${usedText(used)}</span>`
  }</summary><ul>${space.tables.map((table) => html`<li>${tableText(table)}</li>`)}</ul>${mapped}${addressMapHtml(map, faults, limits.stretches)}${
    notes.length > 0 && html`<ul>${notes.map(noteHtml)}</ul>`
  }${space.tables.length > 0 ? html`<pre class="command">${inspect}</pre>` : EMPTY}</details>`;
}

function noteHtml(note: InspectionNote): Html {
  return html`<li class="mark">${note.note === "faulty" ? faultText(note) : limitText(note)}</li>`;
}

function usedText({ requests, faults, verdicts }: SpaceCounts): string {
  const wrong = [...verdicts].filter(([verdict]) => verdict !== "match");
  return [
    many(requests, "request"),
    ...(faults > 0 ? [many(faults, "fault")] : []),
    ...wrong.map(([verdict, n]) => `${number(n)} ${verdict}`),
  ].join(", ");
}
