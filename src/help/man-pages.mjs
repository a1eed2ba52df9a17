// The pages of the manual as man pages of section 7: `node man-pages.mjs DIRECTORY`, at build time.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import remarkGfm from 'remark-gfm';
import remarkMan from 'remark-man';
import remarkParse from 'remark-parse';
import { unified } from 'unified';

const [directory] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
// a build of the same sources is the same bytes
const date = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1000);

/** The width of a table that fits a terminal of 80 columns. */
const TABLE_WIDTH = 68;

const textOf = (node) => node.value ?? (node.children ?? []).map(textOf).join('');

/** A table that is too wide becomes a list: roff does not wrap cells. */
function wideTablesAsLists() {
  return (tree) => {
    tree.children = tree.children.map((node) => {
      if (node.type !== 'table') return node;
      const [head, ...rows] = node.children;
      const widths = head.children.map((_, i) =>
        Math.max(...node.children.map(({ children }) => textOf(children[i] ?? {}).length)),
      );
      if (widths.reduce((sum, width) => sum + width + 3, 1) <= TABLE_WIDTH) return node;
      const children = rows.map((row) => {
        const parts = row.children.map((cell, i) => partOf(head.children[i], cell, i));
        const lines = parts.filter((part) => part.length > 0);
        const text = lines.flatMap((line, i) => (i === 0 ? line : [{ type: 'break' }, ...line]));
        return { type: 'listItem', children: [{ type: 'paragraph', children: text }] };
      });
      return { type: 'list', ordered: false, children };
    });
  };
}

/** A word of code that the source breaks at the end of a line: roff takes a line that begins with an apostrophe for a command. */
const withoutBreaksInCode = () => (tree) => {
  const join = (node) => {
    if (node.type === 'inlineCode') node.value = node.value.replaceAll('\n', ' ');
    node.children?.forEach(join);
  };
  join(tree);
};

/** `**first cell**`, then `head: cell`. */
function partOf(head, { children }, i) {
  if (children.length === 0) return [];
  if (i === 0) return [{ type: 'strong', children }];
  const title = textOf(head);
  return title === '' ? children : [{ type: 'text', value: `${title}: ` }, ...children];
}

/** A page's heading is the man page's title, and comments mark places for the tests. */
function manPage(name, page) {
  const [, title, text] = /^# ([^\n]*)\n(.*)$/s.exec(page);
  const processor = unified()
    .use(remarkParse)
    .use(remarkGfm)
    .use(withoutBreaksInCode)
    .use(wideTablesAsLists)
    .use(remarkMan, {
      name: `kvmsnap-${name}`,
      section: 7,
      description: title,
      manual: `kvmsnap ${version}`,
      version: '',
      date,
    });
  return `${String(processor.processSync(text.replace(/<!--.*?-->\n/g, '').replace(/\]\((\w[\w-]*)\.md\)/g, '](kvmsnap-$1(7))')))}\n`;
}

mkdirSync(directory, { recursive: true });
const pages = new URL('../manual/', import.meta.url);
for (const file of readdirSync(pages).filter((each) => each.endsWith('.md'))) {
  const name = file.replace(/\.md$/, '');
  writeFileSync(`${directory}/kvmsnap-${name}.7`, manPage(name, readFileSync(new URL(file, pages), 'utf8')));
}
