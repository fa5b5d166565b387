/**
 * Tells which directories a line of a rules file reaches: so a directory that is renamed is known
 * to come out from under the line. Rules: A22.
 */
import ignore from "ignore";

/**
 * @param pattern relative to the root
 * @param directory a path
 * @returns true if the pattern may match something below the directory for what stands in it, not
 * for the directory itself or one above it
 */
export function reachesBelow(pattern: string, directory: string): boolean {
  const body = pattern.replace(/^!/, "").replace(/\/$/, "");
  // Without a slash it matches at any depth.
  if (!body.includes("/")) return true;
  const segments = body.replace(/^\//, "").split("/");
  for (const [depth, name] of directory.split("/").entries()) {
    const segment = segments[depth];
    if (segment === "**") return true;
    if (segment === undefined || !matches(segment, name)) return false;
  }
  return segments.length > directory.split("/").length;
}

function matches(segment: string, name: string): boolean {
  if (!/[\\*?[]/.test(segment)) return segment === name;
  return ignore({ ignorecase: false, allowRelativePaths: true }).add(`/${segment}`).ignores(name);
}
