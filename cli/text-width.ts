/** Columns of text that goes to no terminal. */
const PLAIN_COLUMNS = 120;

/** Lines of a terminal whose size is not known. */
const TERMINAL_LINES = 24;

/** Characters that a terminal shows at a time. */
export function screenful(): number {
  return textWidth() * (process.stdout.rows ?? TERMINAL_LINES);
}

/** Columns that text for people may take: those of the terminal. */
export function textWidth(): number {
  return process.stdout.columns ?? PLAIN_COLUMNS;
}
