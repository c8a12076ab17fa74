/** The smallest input that is still as `fails` says: pieces are left out, from large to small, while that lasts. */
export async function shrunk(
  bytes: Uint8Array,
  fails: (candidate: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let best = bytes;
  for (let size = best.length >> 1; size >= 1; size >>= 1)
    for (let at = 0; at + size <= best.length; ) {
      const candidate = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (await fails(candidate)) best = candidate;
      else at += size;
    }
  return best;
}
