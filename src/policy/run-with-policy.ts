import type { Program } from '../command-line/verb.ts';
import { KvmsnapError, lineWith } from '../errors.ts';
import { listDomains } from '../libvirt/domains.ts';
import { nearest } from '../model/names.ts';
import { NO_RUN } from '../model/policy.ts';
import { commandLine } from '../model/quote.ts';
import type { Context } from '../run/context.ts';
import { recordUnusableLine } from '../watch/unusable-line.ts';
import { expanded } from './expand.ts';
import { policyLines } from './policy-lines.ts';

/** Runs a command line that names a policy. */

/** `named`: the words that look like policies. A VM with exactly such a name is a VM. Returns the exit code. */
export async function runWithPolicy(
  ctx: Context,
  program: Program,
  named: readonly string[],
  act: () => Promise<void> | Promise<number>,
): Promise<number> {
  const vms = await listDomains(ctx.virsh);
  const [word, ...others] = named.filter((each) => !vms.some(({ name }) => name === each));
  if (word === undefined) return (await act()) || 0;
  if (others.length > 0)
    throw new KvmsnapError('usage', `only one policy can be named, not ${[word, ...others].join(' and ')}`);
  const whole = await program.whole();
  let words = program.words();
  try {
    words = expanded(whole, words, word, await readPolicy(ctx, word));
    if (ctx.settings.verbose) ctx.terminal.trace(`+ ${commandLine('kvmsnap', words)}`);
    return await program.again(words);
  } catch (error) {
    // a run that has begun has recorded its failure already, and this says the same; of several hosts, each has its own result
    if (ctx.host === null) await recordUnusableLine(whole, words, Math.floor(ctx.clock.now() / 1000));
    throw error;
  }
}

async function noPolicy({ directories, names }: Context['configFiles'], word: string) {
  const name = word.slice(1);
  const known = (await names('.conf')).filter((each) => each !== NO_RUN);
  const near = nearest(name, known);
  const files = directories.map((directory) => `${directory}/${name}.conf`).join(' or ');
  return new KvmsnapError('not-found', `there is no policy ${word}, and no VM of that name`, {
    hint: `a policy is a file with one option on each line: ${files}${near === null ? '' : `; did you mean @${near}?`}`,
    meant: near === null ? undefined : lineWith({ kind: 'policy', word: name, by: near }),
  });
}

async function readPolicy({ configFiles }: Context, word: string) {
  const file = `${word.slice(1)}.conf`;
  const found = await configFiles.read(file).catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read the policy ${word}: ${error.message}`);
  });
  if (!found) throw await noPolicy(configFiles, word);
  const { path, text, problem } = found;
  if (problem)
    throw new KvmsnapError('usage', `the policy ${word} is not used, because ${problem.why}`, problem.advice);
  const lines = policyLines(text);
  if ('problem' in lines) throw new KvmsnapError('usage', `${path}:${lines.number}: ${lines.problem}`);
  return { file: path, lines };
}
