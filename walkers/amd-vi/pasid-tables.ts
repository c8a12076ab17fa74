import { FRAME_BYTES } from "../memory.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import { type BindHost, type PasidTableFormat, radixInputBits } from "../pasid-tables/format.ts";
import { guestTable } from "./bind.ts";
import { Configuration } from "./configuration.ts";
import { DeviceContext } from "./context.ts";
import { gcr3TableLimit } from "./gcr3-table.ts";

/** GLX of the largest table. */
const MOST_GLX = 2;

/** The guest CR3 table, as it is bound. */
export const AMD_VI_PASID_TABLES = {
  amd: {
    largest: { amd: { glx: MOST_GLX } },
    layout({ amd }) {
      const glx = amd?.glx ?? 0;
      return {
        reach: Math.log2(gcr3TableLimit(glx)),
        shape: () => ({ what: "guest CR3 table", bytes: FRAME_BYTES, alignment: FRAME_BYTES }),
        context: (bits) => guestContext(glx, bits),
        checkFormat: (host, out) => checkLevels(glx, amd?.paging_levels, host, out),
        secondInputBits: ({ levels }) => radixInputBits(levels),
      };
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

/** What a device table entry would say of a table at address 0. */
function guestContext(glx: number, pasidBits: number): DeviceContext {
  const device = new DeviceContext();
  guestTable(device, glx, pasidBits);
  return device;
}

function checkLevels(
  glx: number,
  pagingLevels: number | undefined,
  { limits, state }: BindHost,
  out: BindFindings,
): void {
  const configuration = new Configuration();
  configuration.load(state);
  if (glx > configuration.glx)
    out.add(
      BIND_RULES["bind-format-unsupported"],
      `amd.glx is ${glx}: expected at most ${configuration.glx}, which EFR.GLXSup says`,
    );
  if (pagingLevels === 5 && !limits.formats.has("x86-64-5lvl"))
    out.add(
      BIND_RULES["bind-pgtable-format"],
      "amd.paging_levels is 5: expected 4, which is what EFR.GATS or pgtable_format allow",
    );
}
