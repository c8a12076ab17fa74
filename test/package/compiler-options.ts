/** How programs find packages. */
export const RESOLUTIONS = ["nodenext", "bundler"] as const;

/** As strict as a program can be, about what it imports, too. */
export function compilerOptions(resolution: (typeof RESOLUTIONS)[number]): string[] {
  const module = resolution === "bundler" ? "esnext" : resolution;
  return [
    ...["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "--types", "node"],
    ...["--module", module, "--moduleResolution", resolution],
  ];
}
