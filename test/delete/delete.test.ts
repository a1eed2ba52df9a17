import { expect, test } from 'vitest';
import { deleteSnapshots } from '../../src/delete/delete.ts';
import { capture } from '../captures.ts';
import { type FakeHost, fakeHost } from '../run/fake-host.ts';

/** A host on which this is done after the VMs of a pattern were read, and before the turn of the first comes. */
function changing(change: (host: FakeHost) => void, at = 2): FakeHost {
  const host = fakeHost();
  const { intercept } = host.libvirt;
  let reads = 0;
  host.libvirt.intercept = (command, process) => {
    if (command[0] === 'dumpxml' && ++reads === at) change(host);
    return intercept(command, process);
  };
  return host;
}

const names = ({ vm }: FakeHost) => [...vm.snapshots.keys()];

test('of many VMs, the snapshot that was current when it was asked for goes, and not a later one', async () => {
  const host = changing(({ vm }) => {
    vm.current = 'off1';
  });
  await deleteSnapshots(
    host.context({ yes: true }),
    { named: [{ vm: 'b-*', names: [] }], paired: false },
    { current: true },
  );
  expect(names(host)).toEqual(['off1']);
});

test('of many VMs, one that had no such snapshot when it was asked for keeps one that came since', async () => {
  const host = changing(({ vm }) => {
    const xml = capture('12.8.0', 'dumpxml-off1.out').replace('<name>off1<', '<name>late<');
    vm.snapshots = new Map([...vm.snapshots, ['late', xml]]);
  });
  await expect(
    deleteSnapshots(host.context(), { named: [{ vm: 'b-*', names: ['late'] }], paired: false }, {}),
  ).rejects.toMatchObject({
    code: 'not-found',
  });
  expect(names(host)).not.toHaveLength(0);
  expect(host.libvirt.commands.map(([verb]) => verb)).not.toContain('snapshot-delete');
});

/** As `changing`, and a person who gives these answers; hands back the questions. */
function asking(answers: boolean[], change: (host: FakeHost) => void) {
  const host = changing(change, 5); // by then it was read for the plan, and again after the answer
  const ctx = host.context({ output: 'table' });
  const questions: string[] = [];
  const ask = async (question: string) => {
    questions.push(question);
    return answers.shift() ?? false;
  };
  return { host, questions, ctx: { ...ctx, terminal: { ...ctx.terminal, hasPerson: true, ask } } };
}

/** What is deleted has got another description by the time its turn comes. */
const rewritten = ({ vm }: FakeHost): void => {
  const xml = vm.snapshots.get('off1') ?? '';
  const other = xml.replace(/<description>[^<]*/, '<description>do not lose this');
  vm.snapshots = new Map([...vm.snapshots, ['off1', other]]);
};

test.each([
  [[true, true], ['run1']],
  [
    [true, false],
    ['off1', 'run1'],
  ],
])('of many VMs, a change at the turn of one is asked about anew: %j', async (answers, left) => {
  const { host, questions, ctx } = asking([...answers], rewritten);
  const run = deleteSnapshots(ctx, { named: [{ vm: 'b-*', names: ['off1'] }], paired: false }, {});
  if (answers.includes(false)) await expect(run).rejects.toMatchObject({ code: 'declined' });
  else await run;
  expect(questions).toHaveLength(2);
  expect(questions[1]).toMatch(/This has changed meanwhile:\n {2}now: .*do not lose this/);
  expect(names(host)).toEqual(left);
});

test('in a script, what is lost is said before it goes; not in JSON, where the document says it', async () => {
  const lost = async (output: 'table' | 'json') => {
    const host = fakeHost();
    await deleteSnapshots(
      host.context({ output }),
      { named: [{ vm: 'b-fix', names: ['off1'] }], paired: false },
      {},
    );
    expect(names(host)).toEqual(['run1']);
    return host.notes.filter((line) => line.includes('deleted permanently'));
  };
  expect(await lost('table')).toEqual([
    expect.stringMatching(/^note: snapshot off1 will be deleted permanently \(taken /),
  ]);
  expect(await lost('json')).toEqual([]);
});
