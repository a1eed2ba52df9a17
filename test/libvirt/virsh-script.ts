/**
 * virsh's own reading of a batch in one word (vshCommandParse in libvirt's tools/vsh.c): `;` and line feeds end a
 * command, `'...'` is literal, `"..."` and bare words know the backslash. Throws on what virsh would not parse.
 */
export function parseScript(script: string): string[][] {
  const commands: string[][] = [[]];
  let word: string | null = null;
  let read = 0;
  for (const [token] of script.matchAll(TOKEN)) {
    read += token.length;
    if (!/^[ \t;\n]/.test(token)) {
      if (word === null && token === '#') throw new Error(`a comment in ${JSON.stringify(script)}`);
      word = (word ?? '') + meaning(token);
      continue;
    }
    if (word !== null) commands.at(-1)?.push(word);
    word = null;
    if (/[;\n]/.test(token)) commands.push([]);
  }
  if (read !== script.length) throw new Error(`an open quote in ${JSON.stringify(script)}`);
  if (word !== null) commands.at(-1)?.push(word);
  return commands.filter((command) => command.length > 0);
}

const TOKEN = /'[^']*'|"(?:\\.|[^"\\])*"|\\.|[ \t]+|[;\n]|[^ \t;\n'"\\]/gs;

function meaning(token: string): string {
  if (token.startsWith("'")) return token.slice(1, -1);
  const inner = token.startsWith('"') ? token.slice(1, -1) : token;
  return inner.replace(/\\(.)/gs, '$1');
}
