import { QmpClient, QmpError } from "../../parsers/qemu/qmp.ts";

/** One thing to undo, by a connection that answers. */
export type Undo = (client: QmpClient) => Promise<unknown>;

/**
 * Undoes what a recording has changed of a machine that runs: all of it, whatever of it fails, and by a connection of its
 * own where the other one has ended.
 * @param name of the QMP socket
 * @throws the first failure
 */
export async function undoAll(client: QmpClient, name: string, undos: readonly Undo[]): Promise<void> {
  const own = client.gone ? await QmpClient.open(name) : null;
  let failure: unknown;
  try {
    for (const undo of undos)
      try {
        await undo(own ?? client);
      } catch (error) {
        failure ??= error;
      }
  } finally {
    own?.close();
  }
  if (failure !== undefined) throw failure;
}

/** What to say of a machine that is not as it was; "": there is none any more. */
export function leftText(error: unknown): string {
  // One that dies drops its connections first.
  if (error instanceof QmpError && error.absent) return "";
  const message = error instanceof Error ? error.message : String(error);
  return `QEMU is not as it was (look at "info status", "info trace-events" and "logfile" in its monitor): ${message}`;
}
