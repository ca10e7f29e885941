// What the pictures of this repository have in common: a frame with a background of its own, and colours for a light and a dark
// page. A page shows an SVG as an image, so the browser's scheme decides, and not the theme of the page: text without a
// background could be light on light.

/** Returns an SVG of these units, which are also its size in pixels. The texts are escaped, the body is not. */
export function picture({ width, height, title, description, body }) {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">
<title id="title">${escaped(title)}</title>
<desc id="description">${escaped(description)}</desc>
<style>
  svg { --back: #ffffff; --edge: #d0d7de; --text: #1f2328; --faint: #59636e; --bad: #c9372c; --good: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --edge: #3d444d; --text: #f0f6fc; --faint: #9198a1; --bad: #ff7b72; --good: #3fb950 }
  }
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 15px; fill: var(--text) }
  .head { font-size: 17px; font-weight: 600 }
  .count { font-size: 24px; font-weight: 600 }
  .end { text-anchor: end }
  .faint { fill: var(--faint) }
  .bad { fill: var(--bad) }
  .good { fill: var(--good) }
  .line { stroke: var(--edge) }
  .mark { stroke: var(--text); stroke-width: 1.5 }
</style>
<rect fill="var(--back)" stroke="var(--edge)" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${body}
</svg>
`;
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** Returns a text as it stands between two tags. */
export function escaped(text) {
  return text.replaceAll(/[&<>]/g, (sign) => ENTITIES[sign]);
}
