/** Whose answers are taken from a trace: what the recorded system did, or what our walk gives. */
export const TRACE_SIDES = ["observed", "walk"] as const;
export type TraceSide = (typeof TRACE_SIDES)[number];
/** What a stream's answers are: those of a trace, or a replay's outcomes. */
export const ANSWER_KINDS = [...TRACE_SIDES, "outcomes"] as const;
export type AnswerKind = (typeof ANSWER_KINDS)[number];
