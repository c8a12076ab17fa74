/**
 * Whether a text is as a pattern says, in which "*" and "?" stand for any text and any character; case does not matter.
 * It takes at most pattern times text steps: where a piece behind a "*" does not match, only that "*" takes more.
 */
export function globMatches(pattern: string, text: string): boolean {
  const want = pattern.toLowerCase();
  const have = text.toLowerCase();
  let w = 0;
  let h = 0;
  /** Behind the last "*", and where what it stands for ends. */
  let behindStar = -1;
  let starEnd = 0;
  while (h < have.length) {
    if (want[w] === "*") {
      behindStar = ++w;
      starEnd = h;
    } else if (w < want.length && (want[w] === "?" || want[w] === have[h])) {
      w++;
      h++;
    } else if (behindStar >= 0) {
      w = behindStar;
      h = ++starEnd;
    } else return false;
  }
  while (want[w] === "*") w++;
  return w === want.length;
}
