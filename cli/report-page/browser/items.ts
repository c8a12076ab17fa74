import { onKey } from "./keys.ts";

/** Findings, faults and wrong answers: a step from one to the next, all at once, and a filter. */
export function itemsByKey(): void {
  const filter = document.querySelector<HTMLInputElement>("#filter")!;
  filter.addEventListener("input", () => show(filter.value));
  filter.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") {
      filter.value = "";
      show("");
    }
    if (key === "Escape" || key === "Enter") filter.blur();
  });
  document.querySelector("#expand")!.addEventListener("click", toggleAll);
  onKey({
    j: () => step(1),
    k: () => step(-1),
    e: toggleAll,
    "/": () => filter.focus(),
  });
}

function items(): HTMLDetailsElement[] {
  return [...document.querySelectorAll<HTMLDetailsElement>("details.item")].filter(({ hidden }) => !hidden);
}

function step(by: number): void {
  const all = items();
  const now = all.findIndex((item) => item.contains(document.activeElement));
  const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : now + by;
  const summary = all[next]?.querySelector("summary");
  summary?.focus();
  summary?.scrollIntoView({ block: "nearest" });
}

function toggleAll(): void {
  const all = items();
  const open = !all.some((item) => item.open);
  for (const item of all) item.open = open;
  document.querySelector("#expand")!.textContent = open ? "Close all" : "Expand all";
}

/** Hides the items without all of these words, and rules that then have none. */
function show(text: string): void {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.querySelectorAll<HTMLDetailsElement>("details.item")) {
    const rule = item.closest(".rule")?.querySelector("h4")?.textContent ?? "";
    const whole = `${rule} ${item.textContent}`.toLowerCase();
    item.hidden = !words.every((word) => whole.includes(word));
  }
  for (const rule of document.querySelectorAll<HTMLElement>(".rule"))
    rule.hidden = words.length > 0 && rule.querySelector("details.item:not([hidden])") === null;
}
