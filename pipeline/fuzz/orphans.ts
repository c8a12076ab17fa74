import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";

/** Waits for the end of what it reads, which is ours, and ends a process group then. */
const GUARD = 'read _; kill -s KILL -- "-$0"';

/**
 * Has the group of a child end with this process, however that ends: nothing of ours runs any more after SIGKILL.
 * @param child the first of its group (`detached`)
 */
export function endWithUs(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const guard = spawn("/bin/sh", ["-c", GUARD, `${child.pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  // Without a shell there is none: the child ends as it is asked to.
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  guard.unref();
  child.once("exit", () => {
    // First the guard: its number may be another's soon.
    guard.kill("SIGKILL");
    guard.stdin.destroy();
  });
}
