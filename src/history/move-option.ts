import { unfit } from '../command-line/values.ts';

/** Files and directories that have another path than when the history was saved. */

/** A path, and the one that replaces it; of a directory, all paths in it. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

/** `/old=/new` -> a move. Both are absolute paths; a slash at the end means nothing. */
export function parseMove(text: string): Move {
  const at = text.indexOf('=/');
  const [from, to] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)].map((path) =>
    path.replace(/\/+$/, ''),
  );
  if (!from?.startsWith('/') || !to) throw unfit('expected two absolute paths: /old/path=/new/path');
  return { from, to };
}

/** By path, the new path of each that a move applies to; the first move that applies wins. */
export function movedPaths(paths: readonly string[], moves: readonly Move[]): ReadonlyMap<string, string> {
  return new Map(
    paths.flatMap((path) => {
      const move = moves.find(({ from }) => path === from || path.startsWith(`${from}/`));
      return move ? [[path, `${move.to}${path.slice(move.from.length)}`] as const] : [];
    }),
  );
}
