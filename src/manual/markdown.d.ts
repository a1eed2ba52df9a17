/** The build takes a page of Markdown as text. */
declare module '*.md' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: so it comes from the build
  export default text;
}
