/** A cell, or one that is aligned to the right. */
export type Align = "left" | "right";

/**
 * Rows as lines of text, in columns that are two spaces apart; the last one is not padded.
 * @param align of each column; left where it says nothing
 */
export function columns(rows: readonly (readonly string[])[], align: readonly Align[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows.map((row) =>
    row
      .map((cell, i) => {
        if (align[i] === "right") return cell.padStart(widths[i]!);
        return i === row.length - 1 ? cell : cell.padEnd(widths[i]!);
      })
      .join("  ")
      .trimEnd(),
  );
}

/** "1 line", "2 lines". */
export function counted(n: number, noun: string, plural = `${noun}s`): string {
  return `${n} ${n === 1 ? noun : plural}`;
}

/** A text of at most `width` characters, at the end of a word. */
export function clipped(text: string, width: number): string {
  if (text.length <= width) return text;
  const cut = text.slice(0, width - 1);
  const space = cut.lastIndexOf(" ");
  return `${(space > width / 2 ? cut.slice(0, space) : cut).trimEnd()}…`;
}
