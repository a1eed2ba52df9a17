import { wordsOf } from '../policy/policy-lines.ts';

/** The arguments of a task, which Ansible writes into a file for modules that want JSON (its lib/ansible/executor/module_common.py). */

export interface ModuleArguments {
  /** The words of the command line, without the name of the program. */
  readonly words: readonly string[];
  /** Whether nothing may be changed (`--check`). */
  readonly isCheck: boolean;
}

/** A problem is returned as a text. */
export function parseModuleArguments(text: string): ModuleArguments | { readonly problem: string } {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return { problem: 'the file with the arguments is not JSON' };
  }
  if (typeof given !== 'object' || given === null) return { problem: 'the arguments are not a JSON object' };
  const { cmd, argv, ...others } = given as Record<string, unknown>;
  // what begins so is Ansible's own
  const [unknown] = Object.keys(others).filter((name) => !name.startsWith('_ansible_'));
  if (unknown !== undefined)
    return { problem: `the module has no parameter '${unknown}'; it has cmd, and argv for a list of words` };
  if ((cmd === undefined) === (argv === undefined)) return { problem: 'give either cmd or argv' };
  const words = cmd === undefined ? listOf(argv) : typeof cmd === 'string' ? wordsOf(cmd) : null;
  if (words === null)
    return {
      problem:
        cmd === undefined
          ? 'argv is not a list of words'
          : 'cmd is not a command line: a quote is not closed',
    };
  return { words, isCheck: others['_ansible_check_mode'] === true };
}

/** YAML reads `7` as a number. */
function listOf(value: unknown): string[] | null {
  if (!Array.isArray(value)) return null;
  const words = value.map((word) => (typeof word === 'number' ? String(word) : word));
  return words.every((word) => typeof word === 'string') ? words : null;
}
