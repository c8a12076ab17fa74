import { FRAME_BYTES } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
import { permText } from "../output/perm-text.ts";
import type { SpaceMap } from "../report/address-maps.ts";
import type { MapStretch } from "../report/range-digest.ts";
import type { AddressBlock } from "../summary/address-digest.ts";
import { binarySize, formatBytes } from "../words/sizes.ts";
import { EMPTY, type Html, html } from "./html.ts";
import { many, number } from "./words.ts";

/** A map of an address space: what is mapped, in order, and where requests fault. Widths grow with the logarithm of sizes. */
export function addressMapHtml(
  { stretches }: Pick<SpaceMap, "stretches">,
  faults: readonly AddressBlock[],
  most: number,
): Html {
  if (stretches.length + faults.length === 0) return EMPTY;
  const items = inOrder(stretches, faults);
  const shown = items.slice(0, most);
  let end = 0;
  const cells = shown.map((item) => {
    const gap = item.frame > end ? gapHtml(item.frame - end) : EMPTY;
    end = Math.max(end, item.frame + item.frames);
    return html`${gap}${"mapped" in item ? stretchCell(item) : faultCell(item)}`;
  });
  const left = items.length - shown.length;
  return html`<div class="map" role="img" aria-label="${many(stretches.length, "mapped stretch", "mapped stretches")}, ${many(faults.length, "place that faults", "places that fault")}">${cells}</div>${
    left > 0 && html`<p class="more">… ${number(left)} more</p>`
  }${tableHtml(shown)}`;
}

function inOrder(
  stretches: readonly MapStretch[],
  faults: readonly AddressBlock[],
): (MapStretch | AddressBlock)[] {
  return [...stretches, ...faults].sort((a, b) => a.frame - b.frame);
}

/** What the colours and heights of a map are. */
export const MAP_LEGEND = html`<div class="map legend"><i class="w2 p2 perm-r"></i><span>r--</span><i class="w2 p2 perm-w"></i><span>-w-</span><i class="w2 p2 perm-rw"></i><span>rw-</span><i class="w2 p2 perm-x"></i><span>with x</span><i class="w2 p2 mixed"></i><span>several</span><i class="w2 p1"></i><i class="w2 p2"></i><i class="w2 p3"></i><span>pages to 64 KiB, below 1 GiB, larger</span><i class="gap"></i><span>nothing mapped</span><i class="fault"></i><span>requests fault</span></div>`;

/** Columns of a cell: 1 for a page, and one more for each factor of four. */
function widthOf(frames: number): number {
  return Math.min(1 + Math.round(Math.log2(frames) / 2), 26);
}

function stretchCell(stretch: MapStretch): Html {
  const classes = `w${widthOf(stretch.frames)} ${rightsClass(stretch.rights)} p${heightOf(stretch.largest)}`;
  return html`<i class="${classes}" title="${stretchText(stretch)}"></i>`;
}

/** Three heights, as the legend has them. */
function heightOf(shift: number): number {
  if (shift === 0 || shift >= 30) return 3;
  return shift > 16 ? 2 : 1;
}

function faultCell(block: AddressBlock): Html {
  return html`<i class="fault" title="${faultText(block)}"></i>`;
}

function gapHtml(frames: number): Html {
  return html`<i class="gap" title="nothing for ${sizeText(frames)}"></i>`;
}

/** The class of the widest rights; of several, the mixed one. */
function rightsClass(rights: number): string {
  const perms = permsOf(rights);
  if (perms.length > 1) return "mixed";
  return `perm-${perms[0]!.replaceAll("-", "")}`;
}

function permsOf(rights: number): string[] {
  return Array.from({ length: 8 }, (_, perm) => perm)
    .filter((perm) => (rights & (1 << perm)) !== 0)
    .map(permText);
}

function stretchText(stretch: MapStretch): string {
  return `${rangeText(stretch)}: ${[...stretchParts(stretch)].join(", ")}`;
}

function* stretchParts({ frames, mapped, ranges, output, rights, smallest, largest }: MapStretch) {
  yield mapped === frames ? sizeText(frames) : `${sizeText(mapped)} of ${sizeText(frames)}`;
  yield permsOf(rights).join(" and ");
  yield pageText(smallest, largest);
  yield ranges === 1 ? `to ${addressText(output)}` : `${number(ranges)} ranges`;
}

function pageText(smallest: number, largest: number): string {
  const one = (shift: number) => (shift === 0 ? "not translated" : binarySize(2 ** shift));
  return smallest === largest ? one(smallest) : `${one(smallest)} to ${one(largest)}`;
}

function faultText(block: AddressBlock): string {
  return `${many(block.count, "fault")} at ${rangeText(block)}`;
}

function rangeText({ frame, frames }: AddressBlock | MapStretch): string {
  return `${addressText(frame)}-${addressText(frame + frames - 1, FRAME_BYTES - 1)}`;
}

function sizeText(frames: number): string {
  return formatBytes(frames * FRAME_BYTES);
}

function tableHtml(items: readonly (MapStretch | AddressBlock)[]): Html {
  const rows = items.map((item) => {
    if (!("mapped" in item))
      return html`<tr class="bad"><td>${rangeText(item)}</td><td colspan="4">${many(item.count, "fault")}</td></tr>`;
    const cells = [...stretchParts(item)].map((part) => html`<td>${part}</td>`);
    return html`<tr><td>${rangeText(item)}</td>${cells}</tr>`;
  });
  return html`<details class="ranges"><summary>as a table</summary><table><thead><tr><th>Addresses</th><th>Mapped</th><th>Rights</th><th>Pages</th><th>To</th></tr></thead><tbody>${rows}</tbody></table></details>`;
}
