import { eventMatches } from "../../parsers/logs/qemu-iommus.ts";
import type { QmpClient } from "../../parsers/qemu/qmp.ts";
import { CliError } from "../errors.ts";
import type { MachineIommu } from "./machine.ts";

/** QEMU's trace events: switches those on that tell of IOMMUs, and later off again those that were off. */
export class TraceEvents {
  readonly #client: QmpClient;
  #switched: readonly string[] = [];

  constructor(client: QmpClient) {
    this.#client = client;
  }

  /** @throws QmpError; CliError where this QEMU has no such events */
  async on(iommus: readonly MachineIommu[]): Promise<void> {
    const switched: string[] = [];
    const apart = new Set(iommus.flatMap(({ kind, place }) => (place && kind.several?.event) ?? []));
    for (const name of apart) await this.#ifOff(name, switched);
    for (const { events, quiet, model } of new Set(iommus.map(({ kind }) => kind))) {
      const known = (await Promise.all(events.map((pattern) => this.#states(pattern)))).flat();
      if (known.length === 0)
        throw new CliError(`expected a QEMU with trace events ${events.join(", ")} (${model}), found none`);
      for (const { name, state } of known)
        if (state === "disabled" && !eventMatches(quiet, name)) switched.push(name);
    }
    this.#switched = switched;
    await this.#switch(true);
  }

  /** @throws CliError where there is no event of this name */
  async #ifOff(name: string, switched: string[]): Promise<void> {
    const states = await this.#states(name);
    if (states.length === 0)
      throw new CliError(
        `expected a QEMU with the trace event ${name}, to tell its IOMMUs apart, found none`,
      );
    if (states[0]!.state === "disabled") switched.push(name);
  }

  /** @param client that answers, where the one that has switched them on does not any more */
  async off(client = this.#client): Promise<void> {
    await this.#switch(false, client);
    this.#switched = [];
  }

  async #states(name: string): Promise<readonly { name: string; state: string }[]> {
    const states = await this.#client.execute("trace-event-get-state", { name });
    return Array.isArray(states) ? states : [];
  }

  async #switch(enable: boolean, client = this.#client): Promise<void> {
    await Promise.all(
      this.#switched.map((name) => client.execute("trace-event-set-state", { name, enable })),
    );
  }
}
