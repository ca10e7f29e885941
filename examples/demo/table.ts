/** A column: the lines of its heading, and the alignment of its cells. */
export interface Column {
  readonly heading: readonly string[];
  readonly align: "left" | "right";
}

/** Returns the lines of a table. Each column is as wide as its widest cell, and headings are aligned at the bottom. */
export function alignedTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const height = Math.max(...columns.map(({ heading }) => heading.length));
  const heads = Array.from({ length: height }, (_, line) =>
    columns.map(({ heading }) => heading[line - (height - heading.length)] ?? ""),
  );
  const widths = columns.map((_, at) => Math.max(...[...heads, ...rows].map((cells) => cells[at]?.length ?? 0)));
  const rule = widths.map((width) => "─".repeat(width));
  return [...heads, rule, ...rows].map((cells) =>
    columns
      .map(({ align }, at) => {
        const cell = cells[at] ?? "";
        return align === "left" ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0);
      })
      .join(" ")
      .trimEnd(),
  );
}
