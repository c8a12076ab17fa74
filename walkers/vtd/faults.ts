/**
 * VT-d fault reasons by condition code (Intel VT-d 5.10, Table 30 of section 7.1.3; interrupt requests: Table 15
 * of section 5.1.4.1). Several conditions share one reason; the name says which one it was. Reasons that the
 * specification gives no condition code are named by their number.
 *
 * `qualified` faults are not recorded where an entry on the way has FPD set (section 7.1.1).
 */
export type { VtdFault } from "./faults/fault.ts";
export * from "./faults/legacy.ts";
export * from "./faults/other.ts";
export * from "./faults/scalable.ts";
export * from "./faults/stages.ts";

import type { VtdFault } from "./faults/fault.ts";
import * as legacy from "./faults/legacy.ts";
import { VTD_OTHER_FAULTS } from "./faults/other.ts";
import * as scalable from "./faults/scalable.ts";
import * as stages from "./faults/stages.ts";

/** All that a walk of an untranslated request can end in. */
export const VTD_WALK_FAULTS: readonly VtdFault[] = [legacy, scalable, stages].flatMap((part) =>
  Object.values(part),
);

/** Every fault reason that VT-d defines. */
export const VTD_FAULTS: readonly VtdFault[] = [...VTD_WALK_FAULTS, ...VTD_OTHER_FAULTS];
