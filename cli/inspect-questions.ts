import { Cover } from "../pipeline/inspect/cover.ts";
import { Domains } from "../pipeline/inspect/domains.ts";
import type { TableSelection } from "../pipeline/inspect/inspect-tables.ts";
import { Lookup } from "../pipeline/inspect/lookup.ts";
import type { QuestionRecord } from "../pipeline/inspect/lookup-records.ts";
import { Sharing } from "../pipeline/inspect/sharing.ts";
import type { InspectionSink } from "../pipeline/inspect/sink.ts";
import type { InspectJson } from "./render/inspect-json.ts";
import type { InspectText } from "./render/inspect-text.ts";
import { QuestionText } from "./render/question-text.ts";

/** What is asked about the tables, instead of listing them. */
export type Question =
  | { readonly about: "pa"; readonly first: bigint; readonly last: bigint }
  | { readonly about: "covers"; readonly address: bigint }
  | { readonly about: "domains" | "shared" };

const FRAME_SHIFT = 12n;

/** Who answers a question, and what of the tables it must see for that. */
export function answering(
  question: Question,
  output: InspectText | InspectJson,
  json: boolean,
): { readonly sink: InspectionSink; readonly selection: Partial<TableSelection> } {
  const text = new QuestionText();
  const take = (record: QuestionRecord) => {
    if (json) output.answer(JSON.stringify(record));
    else for (const line of text.lines(record)) output.answer(line);
  };
  const listed = { maps: true } as const;
  switch (question.about) {
    case "pa": {
      const frames = [question.first, question.last].map((address) => Number(address >> FRAME_SHIFT));
      const sink = new Lookup(frames[0]!, frames[1]!, output, take);
      return { sink, selection: { ...listed, tableReads: sink } };
    }
    case "covers":
      return { sink: new Cover(question.address, take), selection: { ...listed, faulty: true } };
    case "domains":
      return { sink: new Domains(take), selection: listed };
    case "shared":
      return { sink: new Sharing(take), selection: listed };
  }
}
