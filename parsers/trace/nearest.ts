/** Letters that may differ at most. */
type Tolerance = (word: string, candidate: string) => number;

/** Longer words are nobody's mistake. */
const LONGEST_WORD = 256;

/**
 * The one of `candidates` that a mistyped word most likely means.
 * @param tolerance by default a third of the word, two letters at least
 * @returns undefined where none is near
 */
export function nearest<T extends string>(
  word: string,
  candidates: Iterable<T>,
  tolerance: Tolerance = (typed) => Math.max(2, Math.floor(typed.length / 3)),
): T | undefined {
  if (word.length > LONGEST_WORD) return undefined;
  const typed = word.toLowerCase();
  let best: T | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(typed, candidate.toLowerCase());
    if (distance < bestDistance && distance <= tolerance(word, candidate)) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let distance = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, before[j - 2]! + 1);
      row.push(distance);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
