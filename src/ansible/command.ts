import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

/** The command line of `ansible`. Hidden: the module of Ansible runs it. */
export function ansible(program: Program): Verb {
  const verb = new Verb('ansible', {
    group: 'More',
    summary: 'run a command line for Ansible',
    detail: 'The Ansible module of kvmsnap runs this.',
    examples: ['kvmsnap ansible ARGUMENTS.json'],
    topics: [],
    needsWriting: false,
  });
  verb
    .addArgument(new MeantArgument('<file>', 'file', 'the arguments of the task, in JSON'))
    .action((file) =>
      program.run(async (ctx) => (await import('./ansible.ts')).runForAnsible(ctx, program, file)),
    );
  return verb;
}
