import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isHeld, withHold, withoutHold } from '../../../src/model/marks/hold.ts';

const HOLD = 'Kvmsnap-Hold: yes';

describe('what a held description looks like', () => {
  it.each([
    [null, HOLD],
    ['', HOLD],
    ['before the upgrade', `before the upgrade\n\n${HOLD}`],
    ['two\nlines', `two\nlines\n\n${HOLD}`],
    ['ends with a line feed\n', `ends with a line feed\n\n\n${HOLD}`],
    [`done already\n\n${HOLD}`, `done already\n\n${HOLD}`],
  ])('%j -> %j', (text, held) => {
    expect(withHold(text)).toBe(held);
    expect(isHeld(held)).toBe(true);
  });

  it.each([
    [null, null],
    ['', ''],
    ['plain', 'plain'],
    [HOLD, null],
    [`\n${HOLD}`, null],
    [`\n\n${HOLD}`, null],
    [`by hand, on the next line\n${HOLD}`, 'by hand, on the next line'],
    [`twice\n\n${HOLD}\n\n${HOLD}`, 'twice'],
    [`${HOLD}\n`, `${HOLD}\n`],
    [`${HOLD}\nand more`, `${HOLD}\nand more`],
    [`said: ${HOLD}`, `said: ${HOLD}`],
    [`${HOLD}!`, `${HOLD}!`],
  ])('%j without it is %j', (text, bare) => {
    expect(withoutHold(text)).toBe(bare);
    expect(isHeld(bare)).toBe(false);
  });
});

const line = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom(HOLD, '', ' ', `${HOLD} `));
const text = fc.array(line, { maxLength: 5 }).map((lines) => lines.join('\n'));

describe('for any text', () => {
  const author = text.filter((written) => written !== '' && !isHeld(written));

  it('hold and back gives what its author wrote', () => {
    fc.assert(fc.property(author, (written) => withoutHold(withHold(written)) === written));
  });

  it('with a hold it is held, without one it is not, and twice is once', () => {
    fc.assert(
      fc.property(fc.option(text), (any) => {
        expect(isHeld(withHold(any))).toBe(true);
        expect(isHeld(withoutHold(any))).toBe(false);
        expect(withHold(withHold(any))).toBe(withHold(any));
        expect(withoutHold(withoutHold(any))).toBe(withoutHold(any));
      }),
    );
  });
});
