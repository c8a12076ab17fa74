/** The script of a report: everything that it does can be done without it, but for zooming and filtering. */
import { helpOnKeys } from "./help.ts";
import { itemsByKey } from "./items.ts";
import { openForPrint } from "./printing.ts";
import { themeButton } from "./theme.ts";
import { timelines } from "./timelines.ts";

for (const tools of document.querySelectorAll<HTMLElement>(".tools")) tools.hidden = false;
timelines();
itemsByKey();
helpOnKeys();
themeButton();
openForPrint();
