import { printableLine } from "../../parsers/trace/show.ts";

/** A piece of HTML: what it holds of a trace is escaped. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | bigint | Html | readonly Html[] | false | undefined;

/**
 * HTML from a template: values that are no HTML themselves are text, whatever is in them. Attributes stand in double
 * quotes.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = parts[0]!;
  values.forEach((value, i) => {
    text += valueText(value) + parts[i + 1]!;
  });
  return new Html(text);
}

/** Nothing. */
export const EMPTY = new Html("");

function valueText(value: Value): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(({ text }) => text).join("");
  return escapeHtml(`${value}`);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it stands in HTML, and in an attribute in quotes: nothing in it is markup, hides text or turns it round. */
function escapeHtml(text: string): string {
  return printableLine(text).replace(/[&<>"']/g, (char) => ENTITIES[char]!);
}

/** A value as JSON that may stand in a script element: nothing in it ends the element. */
export function jsonData(id: string, value: unknown): Html {
  const json = JSON.stringify(value).replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028");
  return new Html(
    `<script type="application/json" id="${id}">${json.replaceAll("\u2029", "\\u2029")}</script>`,
  );
}
