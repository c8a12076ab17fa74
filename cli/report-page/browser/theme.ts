/** Light or dark, whatever the system prefers: until the page is left. */
export function themeButton(): void {
  const root = document.documentElement;
  document.querySelector("#theme")!.addEventListener("click", () => {
    const dark =
      root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = dark === "dark" ? "light" : "dark";
  });
}
