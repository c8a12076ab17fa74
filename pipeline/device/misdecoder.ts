import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { IommuWalker } from "../../walkers/walker.ts";

type Contexts = NonNullable<Bug["contexts"]>;

/** Makes walkers go by something else than what their contexts come to, or walk otherwise. */
export class Misdecoder {
  readonly #bugs: readonly Bug[];
  readonly #changes: readonly Contexts[];
  readonly #met = new Set<IommuWalker>();

  constructor(bugs: readonly Bug[]) {
    this.#bugs = bugs.filter((bug) => bug.walker !== undefined);
    this.#changes = bugs.flatMap(({ contexts = [] }) => contexts);
  }

  /** @param units all that there are by now: those that are new are changed */
  meet(units: readonly { readonly walker: IommuWalker }[]): void {
    if (this.#changes.length + this.#bugs.length === 0) return;
    for (const { walker } of units) {
      if (this.#met.has(walker)) continue;
      this.#met.add(walker);
      misdecodeDevices(walker, this.#changes);
      misdecodeProcesses(walker, this.#changes);
      for (const bug of this.#bugs) bug.walker!(walker);
    }
  }
}

function misdecodeDevices(walker: IommuWalker, changes: readonly Contexts[]): void {
  const load = walker.loadDevice.bind(walker);
  walker.loadDevice = (request, device, out) => {
    if (!load(request, device, out)) return false;
    for (const change of changes) change.device?.(device);
    return true;
  };
}

function misdecodeProcesses(walker: IommuWalker, changes: readonly Contexts[]): void {
  const load = walker.loadPasidContext.bind(walker);
  walker.loadPasidContext = (request, device, process, out) => {
    if (!load(request, device, process, out)) return false;
    for (const change of changes) change.process?.(process);
    return true;
  };
}
