import { onKey } from "./keys.ts";

/** The list of keys. */
export function helpOnKeys(): void {
  const dialog = document.querySelector<HTMLDialogElement>("#help")!;
  const open = () => dialog.showModal();
  document.querySelector("#keys")!.addEventListener("click", open);
  document.querySelector("#close")!.addEventListener("click", () => dialog.close());
  onKey({ "?": open });
}
