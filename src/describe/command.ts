import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { type Program, Verb } from '../command-line/verb.ts';

/** The command line of `hold`. */
export function hold({ run }: Program): Verb {
  const verb = new Verb('hold', {
    group: 'Keep and clean',
    summary: 'protect a snapshot from prune and delete',
    detail:
      'No option of prune or delete overrides a hold. The hold is stored as the last line of the description.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap hold centos7-1 snapshot-2'],
    topics: ['retention'],
    needsWriting: true,
    takesHosts: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .action((vm, name) => run(holding(given(vm, name), true)));
  return verb;
}

/** The command line of `unhold`. */
export function unhold({ run }: Program): Verb {
  const verb = new Verb('unhold', {
    group: 'Keep and clean',
    summary: 'release the hold on a snapshot',
    detail: 'Afterwards prune and delete can delete the snapshot again.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap unhold centos7-1 snapshot-2'],
    topics: ['retention'],
    needsWriting: true,
    takesHosts: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .action((vm, name) => run(holding(given(vm, name), false)));
  return verb;
}

const holding = (words: readonly string[], held: boolean) =>
  onSnapshot({ words }, async (ctx, vm, name) =>
    (await import('./describe.ts')).setHold(ctx, vm, name, held),
  );

/** The command line of `describe`. */
export function describe({ run }: Program): Verb {
  const verb = new Verb('describe', {
    group: 'Keep and clean',
    summary: 'change the description of a snapshot',
    detail:
      'The images are not changed. An empty text removes the description. If the snapshot is on hold, it stays so.',
    failures: ['check', 'busy'],
    examples: ["kvmsnap describe centos7-1 snapshot-2 'after the upgrade'"],
    topics: ['snapshots'],
    needsWriting: true,
    takesHosts: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addArgument(new MeantArgument('[text]', 'text', 'the new description', { needed: true }))
    .action((...words) => {
      // VM/NAME and the text are two
      const all = given(...words.slice(0, 3).filter((word) => typeof word === 'string'));
      const [text = ''] = all.slice(-1);
      const line = { words: all.slice(0, -1), rest: [text] };
      return run(
        onSnapshot(line, async (ctx, vm, name) =>
          (await import('./describe.ts')).describe(ctx, vm, name, text),
        ),
      );
    });
  return verb;
}
