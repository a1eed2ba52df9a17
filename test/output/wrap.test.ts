import { describe, expect, test } from 'vitest';
import { columnsOf, wrapMessage } from '../../src/output/wrap.ts';

const COMMAND = '        virsh snapshot-delete --domain web-1 --snapshotname before-upgrade';

describe('a message for 30 columns', () => {
  test.each([
    ['that fits stays', 'note: all is well', 'note: all is well'],
    [
      'is wrapped at words, below its own text',
      'note: everything written since then will be lost',
      'note: everything written since\n      then will be lost',
    ],
    [
      'of a VM too',
      'web-1: note: the present memory of the guest will be lost',
      'web-1: note: the present\n             memory of the\n             guest will be\n             lost',
    ],
    [
      'of a VM with a long name is indented less',
      'a-long-name-of-a-virtual-guest: note: it will be lost',
      'a-long-name-of-a-virtual-guest:\n    note: it will be lost',
    ],
    [
      'in a list can be told from the next one',
      '  the present memory of the guest will be lost\n  and more',
      '  the present memory of the\n    guest will be lost\n  and more',
    ],
    [
      'keeps a path whole',
      'note: see /var/lib/libvirt/images/web-1.qcow2 there',
      'note: see\n      /var/lib/libvirt/images/web-1.qcow2\n      there',
    ],
    ['keeps a command on one line', `hint: do this\n${COMMAND}`, `hint: do this\n${COMMAND}`],
    [
      'keeps a step of a plan whole',
      '   virsh snapshot-create --domain web-1 x',
      '   virsh snapshot-create --domain web-1 x',
    ],
    [
      'counts wide characters twice',
      '快照快照快照快照 快照快照快照快照',
      '快照快照快照快照\n快照快照快照快照',
    ],
    ['counts lines once', `──── ${'─'.repeat(25)}`, `──── ${'─'.repeat(25)}`],
  ])('%s', (_, text, shown) => expect(wrapMessage(text, 30)).toBe(shown));
});

test('without a terminal, nothing is wrapped', () => {
  const text = 'note: '.padEnd(200, 'word ');
  expect(wrapMessage(text, null)).toBe(text);
});

test('columns', () => expect(columnsOf('a快─')).toBe(4));
