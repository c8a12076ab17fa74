import { type Analysis, type Hook, hooksOf } from "./analysis.ts";

/** News of a request: what is told of one that a filter leaves out. */
const OF_REQUESTS: ReadonlySet<Hook> = new Set<Hook>([
  "request",
  "faulted",
  "stale",
  "unflushed",
  "behindStop",
  "changedLater",
  "staleDevice",
  "flawed",
]);

type RequestNews = Parameters<NonNullable<Analysis["request"]>>;

/** An analysis that is told of the requests alone that are wanted, and of everything else. */
export function narrowed(analysis: Analysis, wants: (...news: RequestNews) => boolean): Analysis {
  const hooks = hooksOf(analysis).map((hook) => {
    const tell = (analysis[hook] as (...news: unknown[]) => void).bind(analysis);
    const narrow = (...news: unknown[]) => {
      if (wants(...(news as RequestNews))) tell(...news);
    };
    return [hook, OF_REQUESTS.has(hook) ? narrow : tell];
  });
  return Object.fromEntries(hooks) as Analysis;
}
