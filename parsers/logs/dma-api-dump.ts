/**
 * /sys/kernel/debug/dma-api/dump (Linux kernel/dma/debug.c, with CONFIG_DMA_API_DEBUG): every mapping that drivers hold
 * at that moment, with the address that it must translate to.
 *
 *     nvme 0000:00:02.0 phy idx 16254 P=0x0000000002f61840 D=ffefd840 L=5f2 cln=0x… DMA_FROM_DEVICE dma map error checked
 */
import { hexWord } from "./kernel-text.ts";
import type { MapAccess } from "./trace-events.ts";

export interface DmaApiMapping {
  readonly driver: string;
  readonly device: string;
  /** phy, coherent, scatter-gather, single, page, resource, noncoherent */
  readonly type: string;
  readonly pa: bigint;
  readonly addr: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly access: MapAccess;
}

const ROW =
  /^\s*(\S.*?) (\S+) (phy|coherent|scatter-gather|single|page|resource|noncoherent) idx \d+ P=(?:0x)?([0-9a-f]{1,16})(?: N=[0-9a-f]+)? D=(?:0x)?([0-9a-f]{1,16}) L=(?:0x)?([0-9a-f]{1,16}) (?:cln=(?:0x)?[0-9a-f]+ )?DMA_(TO_DEVICE|FROM_DEVICE|BIDIRECTIONAL)(?!\w)/i;
const DIRECTIONS: Readonly<Record<string, MapAccess>> = {
  TO_DEVICE: "r",
  FROM_DEVICE: "w",
  BIDIRECTIONAL: "rw",
};

export function dmaApiMapping(text: string): DmaApiMapping | undefined {
  const found = ROW.exec(text);
  if (found === null) return undefined;
  return {
    driver: found[1]!,
    device: found[2]!,
    type: found[3]!.toLowerCase(),
    pa: hexWord(found[4])!,
    addr: hexWord(found[5])!,
    size: hexWord(found[6])!,
    access: DIRECTIONS[found[7]!.toUpperCase()]!,
  };
}
