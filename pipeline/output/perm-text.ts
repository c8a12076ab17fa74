import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";

/** Rights as the output records have them: "rwx" with "-" for what is denied. */
export function permText(perm: number): string {
  return `${perm & READ ? "r" : "-"}${perm & WRITE ? "w" : "-"}${perm & EXECUTE ? "x" : "-"}`;
}
