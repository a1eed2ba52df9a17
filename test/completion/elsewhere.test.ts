import { describe, expect, test } from 'vitest';
import { Command } from '../../src/command-line/commander.ts';
import { MeantArgument } from '../../src/command-line/meaning.ts';
import { repeated } from '../../src/command-line/values.ts';
import { Verb } from '../../src/command-line/verb.ts';
import { type Elsewhere, elsewhere } from '../../src/completion/elsewhere.ts';
import { completionOf } from '../../src/completion/grammar.ts';

const verb = (name: string, takesHosts: boolean) =>
  new Verb(name, {
    ...{
      group: 'Look',
      summary: 'look',
      detail: '',
      topics: [],
      examples: [],
      needsWriting: false,
      takesHosts,
    },
  })
    .addArgument(new MeantArgument('<vm>', 'vm', ''))
    .addArgument(new MeantArgument('[names...]', 'snapshot', ''))
    .addOption(repeated('--exclude <pattern>', 'vm-pattern', 'not this'));

const PROGRAM = new Command('small')
  .addOption(repeated('--host <host>', 'host', 'there'))
  .addCommand(verb('rm', true))
  .addCommand(verb('timer', false));

/** Of a line that ends where the cursor is, words parted by single spaces. */
function whereOf(line: string): Elsewhere | null {
  const words = line.split(' ');
  const current = words.at(-1) ?? '';
  const completion = completionOf(PROGRAM, words.slice(0, -1), current);
  if (completion.kind !== 'names') throw new Error(`${completion.kind} are offered`);
  return elsewhere(completion.wantedNames, current);
}

describe('names of another host', () => {
  test.each([
    ['its VMs', 'rm kvm7:', { what: 'vm', place: { before: 'kvm7:', given: [], dash: 'fine' } }],
    ['begun already', 'rm kvm7:we', { what: 'vm', place: { before: 'kvm7:' } }],
    ['snapshots of HOST:VM/', 'rm kvm7:web/', { vms: ['web'], place: { before: 'kvm7:web/' } }],
    [
      'without those on the line',
      'rm kvm7:web/a kvm7:web/',
      { vms: ['web'], place: { before: 'kvm7:web/', given: ['a'] } },
    ],
    ['snapshots after HOST:VM', 'rm kvm7:web ', { what: 'snapshot', vms: ['web'], place: { before: '' } }],
  ])('%s', (_, line, wantedNames) => {
    expect(whereOf(line)).toMatchObject({ hosts: ['kvm7'], isUnsure: true, wantedNames });
  });

  test('those of --host, and none of this one', () => {
    const found = { hosts: ['kvm1', '@prod'], isUnsure: false };
    expect(whereOf('rm --host kvm1 --host=@prod ')).toMatchObject({ ...found, wantedNames: { what: 'vm' } });
    expect(whereOf('--host kvm1 rm web ')).toMatchObject({ hosts: ['kvm1'], wantedNames: { vms: ['web'] } });
  });

  test.each([
    'rm ',
    'rm web',
    'rm :web',
    'rm -x:',
    'rm a/b:',
    'rm --exclude kvm7:',
    'rm kvm7:web/a kvm8:',
    'timer kvm7:',
    'timer --host kvm7 ',
    'rm --host ',
  ])('none at %j', (line) => {
    const words = line.split(' ');
    const completion = completionOf(PROGRAM, words.slice(0, -1), words.at(-1) ?? '');
    expect(
      completion.kind === 'names' ? elsewhere(completion.wantedNames, words.at(-1) ?? '') : null,
    ).toBeNull();
  });

  test('a list of hosts is completed at its end', () => {
    const completion = completionOf(PROGRAM, ['rm', '--host'], 'kvm1,k');
    expect(completion).toMatchObject({
      wantedNames: { what: 'host', place: { before: 'kvm1,', given: ['kvm1', ''] } },
    });
  });
});
