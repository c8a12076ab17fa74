import type { BindRequest, HwptRequest } from "../../parsers/bind/request.ts";
import { limitsOf } from "../../parsers/caps/host-limits.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { type BindFinding, BindFindings } from "../../walkers/pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { BindHost, TableUse } from "../../walkers/pasid-tables/format.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { checkConfig } from "./config-checks.ts";
import { checkHost } from "./host-checks.ts";
import { type BoundTable, boundTableOf, checkMemory, checkOtherBindings } from "./memory-checks.ts";

/** What is asked for, and where. */
export interface BindQuestion {
  readonly request: BindRequest;
  readonly model: IommuModel;
  readonly state: IommuState;
  /** Null: nothing is known of what is in the table. */
  readonly memory: GuestMemory | null;
  /** Tables that are bound already. */
  readonly others: Iterable<BoundTable>;
  /** The device, as messages name it. */
  readonly dev: string;
  /** Entries of the table that are read at most. */
  readonly maxEntries: number;
}

export interface BindAnswer {
  readonly findings: readonly BindFinding[];
  /** The table, for the others of later bindings; null where the IOMMU walks none. */
  readonly table: BoundTable | null;
}

/** Does this table belong on this IOMMU? Finds whatever speaks against it. */
export function checkBind(question: BindQuestion): BindAnswer {
  const { request, model, state, memory, others, dev, maxEntries } = question;
  const out = new BindFindings();
  const host: BindHost = { model, limits: limitsOf(model, state), state };
  const use = tableOf(request, host, out);
  if (use === null) return { findings: out.list, table: null };
  const { pasidBits, shape } = checkHost(use, host, out);
  const table = boundTableOf(use, shape, dev);
  checkOtherBindings(table, others, out);
  if (memory !== null) checkMemory(use, pasidBits, shape, host, memory, maxEntries, out);
  return { findings: out.list, table };
}

/** Checks a request by itself, and gives the PASID table that it leads to, if any. */
function tableOf(request: BindRequest, host: BindHost, out: BindFindings): TableUse | null {
  switch (request.kind) {
    case "pasid_table_config":
      return checkConfig(request, host.model, out);
    case "iommu_hwpt":
      return checkHwpt(request, host, out);
  }
}

function checkHwpt({ owner, view }: HwptRequest, host: BindHost, out: BindFindings): TableUse | null {
  const { hwpt } = VENDORS[owner];
  if (hwpt === null) throw new Error(`${owner} has no structure of iommufd`);
  if (owner === host.model) return hwpt.check(view, host, out);
  out.add(
    BIND_RULES["bind-model-mismatch"],
    `struct ${hwpt.name} is for ${owner}: expected one for ${host.model}`,
  );
  return null;
}
