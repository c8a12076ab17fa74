import type { DecodedField } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import { bitRanges, isNamed, valueText } from "../words/structure.ts";
import { EMPTY, type Html, html } from "./html.ts";

/** A decoded structure, and what one of its words was before, where that is known. */
export interface ShownStructure {
  readonly words: readonly bigint[];
  readonly fields: readonly DecodedField[];
  readonly reservedSet: readonly number[];
  /** Fields as they were; those that differ are marked. */
  readonly before?: readonly DecodedField[] | undefined;
  /** Field that a finding is about. */
  readonly marked?: string | undefined;
}

/** Words, a table of the fields that are set or whose value has a name, and the names of the others. */
export function structureHtml({ words, fields, reservedSet, before, marked }: ShownStructure): Html {
  const old = new Map(before?.map((field) => [field.name, field]));
  const differs = (field: DecodedField) => {
    const was = old.get(field.name);
    return was !== undefined && was.value !== field.value;
  };
  const isShown = (field: DecodedField) =>
    field.value !== 0n || isNamed(field) || differs(field) || field.name === marked;
  const shown = fields.filter(isShown);
  const zero = fields.filter((field) => !isShown(field)).map(({ name }) => name);
  const row = (field: DecodedField) => {
    const changed = differs(field);
    const was = changed ? html`<del>${valueText(old.get(field.name)!)}</del> ` : EMPTY;
    const mark = changed || field.name === marked ? html` class="mark"` : EMPTY;
    return html`<tr${mark}><th scope="row">${field.name}</th><td>${field.bits}</td><td>${was}${valueText(field)}</td><td>${field.doc}</td></tr>`;
  };
  return html`<p class="words">${words.map(hex).join(" ")}</p>${
    shown.length > 0 &&
    html`<table class="fields"><thead><tr><th>Field</th><th>Bits</th><th>Value</th><th>Meaning</th></tr></thead><tbody>${shown.map(row)}</tbody></table>`
  }${zero.length > 0 && html`<p class="zero">zero: ${zero.join(", ")}</p>`}${
    reservedSet.length > 0 &&
    html`<p class="mark">reserved bits set: ${bitRanges(reservedSet).join(", ")}</p>`
  }`;
}
