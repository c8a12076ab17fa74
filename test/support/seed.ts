import fc from "fast-check";

/**
 * The seed of every property that names none: a run that failed can be repeated, and a change is not refused for what
 * another run would have met as well. `FC_SEED=random npm test` looks elsewhere; any number repeats that run.
 */
const wanted = process.env.FC_SEED ?? "6553";
if (wanted !== "random") fc.configureGlobal({ seed: Number(wanted) });
