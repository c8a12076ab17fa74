import { columnsOf, lanePath, type Span } from "../../../pipeline/report-page/lane-path.ts";
import {
  type AxisData,
  countsOf,
  positionText,
  spanText,
  type TimelineData,
} from "../../../pipeline/report-page/timeline-data.ts";
import { onKey } from "./keys.ts";

/** Columns of a lane: about one for each pixel or two. */
const COLUMNS = 500;
/** What one press of a key zooms and moves by. */
const ZOOM = 2;
const MOVE = 1 / 8;

/** Makes every timeline of the page one that can be zoomed. */
export function timelines(): void {
  const all = [...document.querySelectorAll<HTMLElement>("[data-timeline]")].map((section) => {
    const data: TimelineData = JSON.parse(document.getElementById(section.dataset.timeline!)!.textContent!);
    return new Timeline(section, data);
  });
  onKey({ t: () => all[0]?.focus() });
}

interface Lane {
  readonly title: string;
  readonly counts: readonly number[];
  readonly path: SVGPathElement;
  readonly total: HTMLElement;
  readonly row: HTMLElement;
}

class Timeline {
  readonly #section: HTMLElement;
  readonly #data: TimelineData;
  readonly #lanes: HTMLElement;
  readonly #readout: HTMLElement;
  readonly #selection = document.createElement("div");
  #axis = 0;
  #drawn: Lane[] = [];
  #span: Span = { from: 0, to: 1 };
  #dragFrom: number | null = null;

  constructor(section: HTMLElement, data: TimelineData) {
    this.#section = section;
    this.#data = data;
    this.#lanes = section.querySelector(".lanes")!;
    this.#readout = section.querySelector(".readout")!;
    this.#lanes.tabIndex = 0;
    this.#selection.className = "selection";
    this.#selection.hidden = true;
    this.#lanes.append(this.#selection);
    this.#useAxis(0);
    this.#listen();
  }

  focus(): void {
    this.#lanes.focus();
    this.#lanes.scrollIntoView({ block: "nearest" });
  }

  get #now(): AxisData {
    return this.#data.axes[this.#axis]!;
  }

  #useAxis(axis: number): void {
    this.#axis = axis;
    const { lanes, buckets } = this.#now;
    const rows = [...this.#section.querySelectorAll<HTMLElement>("[data-lane]")];
    this.#drawn = rows.map((row) => {
      const lane = lanes.find((one) => one.lane === row.dataset.lane);
      return {
        title: row.querySelector(".label")!.textContent!,
        counts: countsOf(lane?.counts ?? [], buckets),
        path: row.querySelector("path")!,
        total: row.querySelector<HTMLElement>(".total")!,
        row,
      };
    });
    this.#show({ from: 0, to: buckets });
  }

  /** Shows a span, cut to the axis and not finer than a bucket. */
  #show({ from, to }: Span): void {
    const { buckets, unit, start, width } = this.#now;
    const size = Math.min(Math.max(to - from, 1), buckets);
    const first = Math.min(Math.max(from, 0), buckets - size);
    const span = { from: Math.round(first), to: Math.round(first + size) };
    this.#span = span;
    for (const { counts, path, total, row, title } of this.#drawn) {
      const columns = columnsOf(counts, span, COLUMNS);
      const sum = columns.reduce((all, count) => all + count, 0);
      path.setAttribute("d", lanePath(columns));
      total.textContent = sum.toLocaleString("en-US");
      row.querySelector("svg")!.setAttribute("aria-label", `${title}: ${sum.toLocaleString("en-US")}`);
    }
    const text = spanText(this.#now, span.from, span.to);
    this.#text(".from", positionText(this.#now, start + span.from * width));
    this.#text(".to", positionText(this.#now, start + span.to * width - (unit === "line" ? 1 : 0)));
    this.#text(".what", unit === "line" ? "line" : "time");
    this.#readout.textContent = text;
  }

  #text(selector: string, text: string): void {
    this.#lanes.querySelector(`.axis ${selector}`)!.textContent = text;
  }

  /** Zooms around a place, 0 to 1 of what is shown. */
  #zoom(factor: number, around = 0.5): void {
    const { from, to } = this.#span;
    const size = (to - from) * factor;
    const at = from + (to - from) * around;
    this.#show({ from: at - size * around, to: at + size * (1 - around) });
  }

  #move(by: number): void {
    const { from, to } = this.#span;
    const step = Math.max(Math.round((to - from) * Math.abs(by)), 1) * Math.sign(by);
    this.#show({ from: from + step, to: to + step });
  }

  /** Shows as much from a bucket on, or what there is at the end. */
  #begin(from: number): void {
    const { from: now, to } = this.#span;
    this.#show({ from, to: from + to - now });
  }

  #all(): void {
    this.#show({ from: 0, to: this.#now.buckets });
  }

  #listen(): void {
    const actions: Readonly<Record<string, () => void>> = {
      in: () => this.#zoom(1 / ZOOM),
      out: () => this.#zoom(ZOOM),
      all: () => this.#all(),
      axis: () => this.#useAxis(1 - this.#axis),
    };
    for (const button of this.#section.querySelectorAll<HTMLButtonElement>("[data-do]"))
      button.addEventListener("click", () => {
        actions[button.dataset.do!]!();
        if (button.dataset.do === "axis") button.setAttribute("aria-pressed", `${this.#axis === 1}`);
      });
    this.#lanes.addEventListener("keydown", (event) => this.#key(event));
    this.#lanes.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.shiftKey) return;
        event.preventDefault();
        this.#zoom(event.deltaY > 0 || event.deltaX > 0 ? ZOOM : 1 / ZOOM, this.#place(event));
      },
      { passive: false },
    );
    this.#drag();
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => this.#move(-MOVE),
      ArrowRight: () => this.#move(MOVE),
      "+": () => this.#zoom(1 / ZOOM),
      "=": () => this.#zoom(1 / ZOOM),
      "-": () => this.#zoom(ZOOM),
      "0": () => this.#all(),
      Home: () => this.#begin(0),
      End: () => this.#begin(this.#now.buckets),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  /** Where in a lane an event is, 0 to 1. */
  #place({ clientX }: MouseEvent): number {
    const { left, width } = this.#drawn[0]!.row.querySelector("svg")!.getBoundingClientRect();
    return Math.min(Math.max((clientX - left) / width, 0), 1);
  }

  #bucketAt(place: number): number {
    const { from, to } = this.#span;
    return Math.min(Math.floor(from + place * (to - from)), to - 1);
  }

  #drag(): void {
    const lanes = this.#lanes;
    lanes.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !(event.target instanceof SVGElement)) return;
      lanes.setPointerCapture(event.pointerId);
      this.#dragFrom = this.#place(event);
    });
    lanes.addEventListener("pointermove", (event) => {
      if (this.#dragFrom !== null) this.#mark(this.#dragFrom, this.#place(event));
      else if (event.target instanceof SVGElement) this.#tell(this.#bucketAt(this.#place(event)));
    });
    lanes.addEventListener("pointerup", (event) => {
      const began = this.#dragFrom;
      this.#dragFrom = null;
      this.#selection.hidden = true;
      if (began === null) return;
      const [a, b] = [began, this.#place(event)].sort((x, y) => x - y) as [number, number];
      if (b - a < 0.005) return;
      this.#show({ from: this.#bucketAt(a), to: this.#bucketAt(b) + 1 });
    });
    lanes.addEventListener("pointerleave", () => {
      this.#readout.textContent = spanText(this.#now, this.#span.from, this.#span.to);
    });
  }

  #mark(a: number, b: number): void {
    const box = this.#drawn[0]!.row.querySelector("svg")!.getBoundingClientRect();
    const outer = this.#lanes.getBoundingClientRect();
    const { style } = this.#selection;
    style.left = `${box.left - outer.left + Math.min(a, b) * box.width}px`;
    style.width = `${Math.abs(b - a) * box.width}px`;
    this.#selection.hidden = false;
  }

  /** Says what a bucket has. */
  #tell(bucket: number): void {
    const parts = this.#drawn.flatMap(({ title, counts }) =>
      counts[bucket]! > 0 ? [`${counts[bucket]!.toLocaleString("en-US")} ${title}`] : [],
    );
    const what = parts.length === 0 ? "nothing" : parts.join(", ");
    this.#readout.textContent = `${spanText(this.#now, bucket, bucket + 1)}: ${what}`;
  }
}
