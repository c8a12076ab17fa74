import type { Summary } from "../../pipeline/output/statistics.ts";
import type { ReplayFilesOptions } from "../replay-one.ts";

/** What a worker is asked to do: to replay a trace, or to go on after the others have taken so many bytes of its output. */
export type JobOrder =
  | {
      readonly type: "replay";
      readonly path: string;
      readonly options: ReplayFilesOptions;
    }
  | { readonly type: "taken"; readonly bytes: number };

/** What a worker says of the trace at hand: output, in order, then how it ended. */
export type JobNews =
  | { readonly type: "output"; readonly bytes: Uint8Array; readonly file: string | undefined }
  | { readonly type: "done"; readonly summary: Summary }
  | {
      readonly type: "failed";
      /** What the command would have said; whether it is about the trace, so that others may go on. */
      readonly message: string;
      readonly ofTrace: boolean;
    };
