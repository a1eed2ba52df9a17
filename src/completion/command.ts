import { Argument } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const shellArgument = () => new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']);

export function completion({ run }: Program): Verb {
  const verb = new Verb('completion', {
    summary: 'print the script that completes command lines in a shell',
    detail:
      'It completes commands, options, and the names of VMs and snapshots, for which it asks libvirt at each TAB, for 3 s ' +
      'at most. Its place: for bash ~/.local/share/bash-completion/completions/kvmsnap, for zsh the file _kvmsnap in a ' +
      'directory of $fpath, for fish ~/.config/fish/completions/kvmsnap.fish.',
    examples: [
      'source <(kvmsnap completion bash)',
      'kvmsnap completion fish > ~/.config/fish/completions/kvmsnap.fish',
    ],
    needsWriting: false,
  });
  verb
    .addArgument(shellArgument())
    .action((shell) => run(async (ctx) => (await import('./completion.ts')).completion(ctx, shell)));
  return verb;
}

/** Hidden: what the scripts of `completion` run. */
export function complete({ run, whole }: Program): Verb {
  const verb = new Verb('complete', {
    summary: 'print what a command line may be completed with',
    detail: 'What the scripts of kvmsnap completion run at each TAB.',
    examples: ["kvmsnap complete fish -- list ''"],
    needsWriting: false,
  });
  verb
    .addArgument(shellArgument())
    .addArgument(new MeantArgument('[words...]', 'text', 'the line so far, behind --'))
    .action((shell, words) =>
      run(async (ctx) => (await import('./complete.ts')).complete(ctx, await whole(), shell, words)),
    );
  return verb;
}
