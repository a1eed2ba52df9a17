// `npm test` has to end within minutes: of long tables it tries a share, of which each run has the same cases.

/** Whether each case is to be tried: $KVMSNAP_TESTS is `all`. */
export const allCases: boolean = process.env['KVMSNAP_TESTS'] === 'all';

/** So many of the cases, evenly spread from the first to the last; all of them where all are to be tried. */
export function share<Case extends unknown[] | [unknown] | object | string | boolean>(
  count: number,
  cases: readonly Case[],
): Case[] {
  if (allCases || count >= cases.length) return [...cases];
  return Array.from({ length: count }, (_, n) => {
    return cases[count === 1 ? 0 : Math.round((n * (cases.length - 1)) / (count - 1))] as Case;
  });
}
