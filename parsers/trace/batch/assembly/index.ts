/** What the module offers; parsers/trace/batch/machine.ts says what each does. */
export { answer, faulted, looked, written } from "./answer";
export { scan } from "./scan";
export { enterName } from "./values";
export { makeDigits } from "./write";
