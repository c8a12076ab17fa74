/** Fault codes as specifications and logs write them: "0x71", "71h", "113". @returns hex without padding, or null */
export function codeText(text: string): string | null {
  const hexadecimal = /^(?:0x([0-9a-f]+)|([0-9a-f]+)h)$/i.exec(text);
  if (hexadecimal !== null) return `0x${BigInt(`0x${hexadecimal[1] ?? hexadecimal[2]}`).toString(16)}`;
  return /^\d+$/.test(text) ? `0x${BigInt(text).toString(16)}` : null;
}
