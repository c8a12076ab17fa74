import { READ, TRANSLATION_REQUEST, UNTRANSLATED, type WalkRequest, WRITE } from "./request.ts";
import { FAULT, OK, type WalkResult } from "./result.ts";
import type { IommuWalker } from "./walker.ts";

/**
 * Translates a request by what its address type asks for. A translation request (PCIe ATS) asks what is granted: it is
 * answered with all rights that there are, and refused only where there is neither reading nor writing; of that the
 * completion tells (R=W=0), and mostly no record.
 */
export function translateAs<D extends object, P extends object>(
  walker: IommuWalker<D, P>,
  request: WalkRequest,
  device: D,
  process: P,
  out: WalkResult,
): void {
  if (request.at !== TRANSLATION_REQUEST) {
    walker.translate(request, device, process, out);
    return;
  }
  const { access } = request;
  const { reads } = walker.tables;
  request.access = 0;
  walker.translate(request, device, process, out);
  // Which fault it is goes by what a read would have met.
  if (out.status === FAULT || (out.status === OK && (out.perm & (READ | WRITE)) === 0)) {
    out.reset(out.model);
    walker.tables.reads = reads;
    request.access = READ;
    walker.translate(request, device, process, out);
  }
  request.access = access;
  noteAts(walker, request, out);
}

/** A fault of a request of ATS may have no record where that of an ordinary one has. */
export function noteAts<D extends object, P extends object>(
  walker: IommuWalker<D, P>,
  { at }: WalkRequest,
  out: WalkResult,
): void {
  if (at !== UNTRANSLATED && out.status === FAULT && !walker.logsAts(at, out)) out.recorded = false;
}
