import pkg from '../package.json' with { type: 'json' };
import type { CheckOptions } from './check/report.ts';
import type { Grammar, Meaning, Shell } from './completion/grammar.ts';
import type { CreateOptions } from './create/report.ts';
import type { DeleteOptions } from './delete/report.ts';
import type { FailureCode } from './errors.ts';
import type { PruneOptions } from './prune/report.ts';
import type { RevertOptions } from './revert/report.ts';
import type { Context } from './run/context.ts';
import type { CurrentOptions } from './show/current.ts';
import type { InfoOptions } from './show/info.ts';
import type { ListOptions } from './show/list.ts';
import type { SpaceOptions } from './space/report.ts';

/** Every command, argument, option and help text, as data: help, man page and README come from here. */

export interface OptionDefinition {
  readonly flags: string;
  readonly help: string;
  /**
   * How its value is read; absent: as it stands. `count` is a whole number from 0 on, `jobs` one from 1 on, `duration` a
   * time such as 0, 30, 30s, 10m, 10min or 2h, in seconds; `list` may be repeated.
   */
  readonly kind?: 'count' | 'jobs' | 'list' | 'duration';
  /** What its value stands for, or the words that it may be; absent: any text. */
  readonly takes?: Meaning;
}

export interface ArgumentDefinition {
  /** In commander's syntax: `<required>`, `[optional]`, `[several...]`. */
  readonly syntax: string;
  readonly help: string;
  readonly takes: Meaning;
}

export interface CommandDefinition {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  /** What the summary leaves out, one paragraph. */
  readonly detail: string;
  readonly arguments: readonly ArgumentDefinition[];
  readonly options: readonly OptionDefinition[];
  /** The failures beside those that every command can meet. */
  readonly failures: readonly FailureCode[];
  readonly examples: readonly string[];
  /** Whether it changes anything, or asks libvirt for what a read-only connection must not see; the options with which it does. */
  readonly needsWriting: boolean | readonly string[];
  /** Left out of help, man page and README: not for users. */
  readonly hidden?: true;
  /** Loads the command, and only then all that it needs. */
  readonly run: (ctx: Context, args: readonly Argument[], options: object) => Promise<void>;
}

export type Argument = string | readonly string[] | undefined;

const VM_NAME: ArgumentDefinition = {
  syntax: '<vm>',
  help: 'name or UUID of the VM (libvirt: domain)',
  takes: 'vm',
};
const PATTERN: ArgumentDefinition = {
  syntax: '<vm>',
  help: 'name, UUID or pattern of the VM (libvirt: domain)',
  takes: 'vm',
};
const SNAPSHOT: ArgumentDefinition = { syntax: '<name>', help: 'the snapshot', takes: 'snapshot' };
const SHELL: ArgumentDefinition = {
  syntax: '<shell>',
  help: 'bash, zsh or fish',
  takes: ['bash', 'zsh', 'fish'] satisfies Shell[],
};
const DESCRIPTION = { flags: '-d, --description <text>', help: 'what it is for' };
const FORCE_CREATE = {
  flags: '--force',
  help: 'pass the checks that are judgements: free space, external ones that this libvirtd cannot revert; no other',
};

/** Those of virsh snapshot-create-as, and `--external`. */
const WISHES: readonly OptionDefinition[] = [
  {
    flags: '--external',
    help: 'into files of its own beside the images: an overlay each, and the memory of a running VM',
  },
  { flags: '--disk-only', help: 'the same without the memory' },
  {
    flags: '--memspec <spec>',
    help: 'external, the memory in this file: [file=]/PATH (of one VM)',
  },
  {
    flags: '--diskspec <spec>',
    help: 'external, a disk so: DISK[,snapshot=no|external|manual][,driver=TYPE][,stype=file|block][,file=/PATH]; repeatable (of one VM)',
    kind: 'list',
  },
  { flags: '--live', help: 'external: the guest runs on while its memory is saved' },
  { flags: '--halt', help: 'turn the VM off once it is taken' },
  {
    flags: '--quiesce',
    help: 'with --disk-only: the guest agent holds the file systems still meanwhile',
  },
  { flags: '--atomic', help: 'all disks or none; QEMU does no other' },
  { flags: '--reuse-external', help: 'overlays that are there already, made for these images' },
  { flags: '--no-metadata', help: 'libvirt forgets it at once, and no command will know it' },
  { flags: '--validate', help: 'have libvirt check the XML against its schema (not in 7.0)' },
  { flags: '--print-xml', help: 'print the XML that virsh would hand to libvirt, and do nothing' },
];
const CURRENT = { flags: '--current', help: 'the current snapshot, instead of a name' };

const LABEL = { flags: '--label <label>', help: 'the label in the names: <label>-20261123T030000Z' };

const LEFTOVERS = {
  flags: '--leftovers',
  help: 'also remove what libvirt leaves behind of external snapshots: memory and overlays that nothing uses',
};

const RULES: readonly OptionDefinition[] = [
  { flags: '--keep-last <n>', help: 'keep the newest n', kind: 'count' },
  {
    flags: '--keep-hourly <n>',
    help: 'keep the newest of each of the last n hours that have one',
    kind: 'count',
  },
  { flags: '--keep-daily <n>', help: 'the same of days, by the local clock', kind: 'count' },
  { flags: '--keep-weekly <n>', help: 'the same of ISO weeks (from Monday)', kind: 'count' },
  { flags: '--keep-monthly <n>', help: 'the same of months', kind: 'count' },
  { flags: '--keep-yearly <n>', help: 'the same of years', kind: 'count' },
  {
    flags: '--keep-within <span>',
    help: 'keep what is younger, counted back from the newest: 36h, 14d, 8w, 6mo, 2y (6m is months too)',
  },
  {
    flags: '--keep <pattern>',
    help: 'keep the names that match; repeatable',
    kind: 'list',
    takes: 'snapshot-pattern',
  },
  { flags: '--allow-empty', help: 'do not keep the newest one against all rules' },
  {
    flags: '--free-min <space>',
    help: 'delete what no rule keeps, oldest first, only until so much is free: 20%, 50G',
  },
  LEFTOVERS,
];

const VM_PATTERNS: ArgumentDefinition = {
  syntax: '[vms...]',
  help: 'names, UUIDs or patterns; or use --all',
  takes: 'vm',
};
const ALL = { flags: '--all', help: 'all VMs' };
const VM: OptionDefinition = {
  flags: '--vm <pattern>',
  help: 'further VMs, by name or pattern; repeatable',
  kind: 'list',
  takes: 'vm',
};
const FILTERS: readonly OptionDefinition[] = [
  { flags: '--exclude <pattern>', help: 'but not these; repeatable', kind: 'list', takes: 'vm-pattern' },
  {
    flags: '--state <state>',
    help: 'only VMs in this state: running, shutoff or paused; repeatable',
    kind: 'list',
    takes: ['running', 'shutoff', 'paused'],
  },
];
const JOBS: OptionDefinition = {
  flags: '--jobs <n>',
  help: 'so many VMs at once (default: 1)',
  kind: 'jobs',
};
const STRICT = { flags: '--strict', help: 'fail when a VM was skipped' };

/** Those of virsh snapshot-create. */
const XML: readonly OptionDefinition[] = [
  {
    flags: '--xml <file>',
    help: 'as the XML in this file says, like virsh snapshot-create (of one VM)',
    takes: 'file',
  },
  {
    flags: '--redefine',
    help: 'with --xml: take none, but have libvirt know the one in the file; what it knew of it is kept in ~/.local/state/kvmsnap',
  },
  { flags: '--current', help: 'with --redefine: make it the current one' },
];
/** Those of `virsh snapshot-list`. */
const SNAPSHOT_FILTERS: readonly OptionDefinition[] = [
  { flags: '--roots', help: 'only snapshots without a parent' },
  { flags: '--leaves', help: 'only those without children' },
  { flags: '--no-leaves', help: 'only those with children' },
  { flags: '--internal', help: 'only those inside the images' },
  { flags: '--external', help: 'only those in files of their own' },
  { flags: '--inactive', help: 'only those of a VM that was off' },
  { flags: '--active', help: 'only those with the memory' },
  { flags: '--disk-only', help: 'only those of a running VM without its memory' },
  { flags: '--from <name>', help: 'only the children of this one', takes: 'snapshot' },
  { flags: '--current', help: 'only the children of the current one' },
  { flags: '--descendants', help: 'of --from and --current: all that is below' },
];
const SNAPSHOT_XML: readonly OptionDefinition[] = [
  { flags: '--xml', help: "the snapshot's XML, as libvirt has it" },
  { flags: '--security-info', help: 'of --xml: with passwords' },
];

export const COMMANDS: readonly CommandDefinition[] = [
  {
    name: 'create',
    needsWriting: true,
    summary: 'take a snapshot and give it a name',
    detail:
      'An internal one, of all writable disks, and of the memory when the VM runs (it is paused meanwhile). ' +
      'The name is the time in seconds since 1970. Refuses before anything is touched when a disk is not qcow2 or the ' +
      'snapshot could not work; says done only when libvirt and every disk hold it. With --label the name is made of the ' +
      'label and the time (UTC), and with rules of retention a prune of that label follows, if and only if it was taken. Of many ' +
      'VMs, one that is not suited (a raw disk) is skipped and said so, unless it was called by its own name. With --external ' +
      'or --disk-only nothing is written into the images: the guest goes on in new files beside them, which also works over a raw image.',
    arguments: [VM_PATTERNS],
    options: [DESCRIPTION, FORCE_CREATE, ...WISHES, ...XML, LABEL, ...RULES, ALL, ...FILTERS, JOBS, STRICT],
    failures: ['partial', 'check', 'exists', 'busy'],
    examples: [
      'kvmsnap create centos7-1',
      'name=$(kvmsnap create -q centos7-1)',
      'kvmsnap create centos7-1 --label nightly --keep-daily 7 --keep-weekly 4',
      "kvmsnap create 'web-*' db-1 --exclude web-test --label nightly",
      'kvmsnap create centos7-1 --external',
    ],
    run: async (ctx, [vms], options) =>
      (await import('./create/report.ts')).create(
        ctx,
        vms as readonly string[],
        null,
        options as CreateOptions,
      ),
  },
  {
    name: 'create-as',
    needsWriting: true,
    summary: 'take a snapshot under a name of yours',
    detail: 'As create. A name has at most 200 bytes, no /, no leading dot and no control characters.',
    arguments: [PATTERN, { syntax: '<name>', help: 'name of the new snapshot', takes: 'name' }],
    options: [DESCRIPTION, FORCE_CREATE, ...WISHES, VM, ...FILTERS, JOBS, STRICT],
    failures: ['partial', 'check', 'exists', 'busy'],
    examples: [
      'kvmsnap create-as centos7-1 snapshot-2 -d "before the upgrade"',
      "kvmsnap create-as 'web-*' before-upgrade --vm db-1",
      'kvmsnap create-as centos7-1 before-upgrade --disk-only --quiesce',
    ],
    run: async (ctx, [vm, name], options) =>
      (await import('./create/report.ts')).create(
        ctx,
        [vm as string],
        name as string,
        options as CreateOptions,
      ),
  },
  {
    name: 'list',
    alias: 'ls',
    needsWriting: false,
    summary: 'list the snapshots of VMs, or all VMs',
    detail:
      'Oldest first, the current one marked *. VM STATE is the guest memory saved with a snapshot, 0 or - for one taken of a ' +
      'VM that was off; it is not shown of several VMs, whose images are not looked at. Without a VM: every ' +
      'VM with its state, number of snapshots, current one and newest.',
    arguments: [
      {
        syntax: '[vms...]',
        help: 'names, UUIDs or patterns; without any, all VMs at a glance',
        takes: 'vm',
      },
    ],
    options: [
      { flags: '-t, --tree', help: 'draw parents and children' },
      ...SNAPSHOT_FILTERS,
      { flags: '--space', help: 'with what deleting each one frees (of one VM)' },
      { flags: '--all', help: 'the snapshots of all VMs' },
      ...FILTERS,
    ],
    failures: [],
    examples: [
      'kvmsnap list',
      'kvmsnap list centos7-1 --tree',
      'kvmsnap list centos7-1 --json',
      "kvmsnap list 'web-*' --state running",
    ],
    run: async (ctx, [vms], options) =>
      (await import('./show/list.ts')).list(ctx, vms as readonly string[], options as ListOptions),
  },
  {
    name: 'current',
    needsWriting: ['set', 'securityInfo'],
    summary: 'print the name of the current snapshot, or set it',
    detail:
      'The one that the VM was last reverted to, or that was taken last: the next one becomes its child. With --json: all facts. ' +
      "--set moves libvirt's mark alone; no disk and no guest changes.",
    arguments: [VM_NAME],
    options: [
      { flags: '--set <name>', help: 'make this one the current snapshot', takes: 'snapshot' },
      ...SNAPSHOT_XML,
    ],
    failures: ['check', 'busy'],
    examples: ['kvmsnap current centos7-1', 'kvmsnap current centos7-1 --set snapshot-2'],
    run: async (ctx, [vm], options) =>
      (await import('./show/current.ts')).current(ctx, vm as string, options as CurrentOptions),
  },
  {
    name: 'revert',
    needsWriting: true,
    summary: 'put a VM back to a snapshot',
    detail:
      'What was written since is lost, unless --backup keeps it. Refuses when a disk does not hold the snapshot exactly once. ' +
      'Asks on a terminal; in a script the name is consent.',
    arguments: [VM_NAME, { syntax: '[name]', help: 'the snapshot; or use --current', takes: 'snapshot' }],
    options: [
      CURRENT,
      { flags: '--running', help: 'start the VM afterwards' },
      { flags: '--paused', help: 'leave the VM paused afterwards' },
      { flags: '--reset-nvram', help: 'make the NVRAM anew from its template (from libvirt 8.1 on)' },
      { flags: '--backup', help: 'take a snapshot of the present state first; without it, no revert' },
      { flags: '--backup-name <name>', help: 'as --backup, under this name' },
      {
        flags: '--force',
        help: 'go on over a managed save or an overlay in use, and have virsh try harder; passes no check of the tags',
      },
    ],
    failures: ['check', 'exists', 'busy', 'declined'],
    examples: [
      'kvmsnap revert centos7-1 snapshot-2 --backup',
      'kvmsnap revert centos7-1 --current --running',
    ],
    run: async (ctx, [vm, name], options) =>
      (await import('./revert/report.ts')).revert(
        ctx,
        vm as string,
        name as string | undefined,
        options as RevertOptions,
      ),
  },
  {
    name: 'delete',
    alias: 'rm',
    needsWriting: true,
    summary: 'delete snapshots of a VM',
    detail:
      'Goes on after a failure. Says deleted only when libvirt and every disk have forgotten it. Asks on a terminal; in a ' +
      'script names are consent, and --children or more than one VM needs --yes. Of many VMs, one that has none of ' +
      'the snapshots is skipped and said so. An --exclude that leaves out no VM is an error here: it may be a slip.',
    arguments: [
      PATTERN,
      { syntax: '[names...]', help: 'the snapshots; or use --current', takes: 'snapshot' },
    ],
    options: [
      CURRENT,
      { flags: '--children', help: 'with all snapshots below it' },
      { flags: '--children-only', help: 'only the snapshots below it' },
      { flags: '--metadata', help: "only libvirt's knowledge of it; the data stays in the images" },
      LEFTOVERS,
      VM,
      ...FILTERS,
      JOBS,
      STRICT,
    ],
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap delete centos7-1 1649751390',
      'kvmsnap rm centos7-1 old-1 old-2 --yes',
      "kvmsnap delete 'web-*' before-upgrade --yes",
    ],
    run: async (ctx, [vm, names], options) =>
      (await import('./delete/report.ts')).deleteSnapshots(
        ctx,
        vm as string,
        names as readonly string[],
        options as DeleteOptions,
      ),
  },
  {
    name: 'info',
    needsWriting: ['securityInfo'],
    summary: 'show a VM and its disks, or all of one snapshot',
    detail:
      'The VM: each disk as qemu-img sees it, with its backing chain, and the snapshots inside the images. A snapshot: ' +
      'all that is known of it, what it costs, and whether each disk really holds it.',
    arguments: [VM_NAME, { ...SNAPSHOT, syntax: '[name]' }],
    options: [CURRENT, ...SNAPSHOT_XML],
    failures: [],
    examples: ['kvmsnap info centos7-1', 'kvmsnap info centos7-1 snapshot-2'],
    run: async (ctx, [vm, name], options) =>
      (await import('./show/info.ts')).info(
        ctx,
        vm as string,
        name as string | undefined,
        options as InfoOptions,
      ),
  },
  {
    name: 'prune',
    needsWriting: true,
    summary: 'delete the snapshots that no rule keeps',
    detail:
      'Only snapshots that carry the label in their name, as create --label makes them, or that --match names. Rules are ' +
      'OR-ed: one reason is enough to stay. Never deleted: one on hold, one still being taken, one dated in the future, one ' +
      'that libvirt would not delete now, and the newest (unless --allow-empty). Without a rule nothing is deleted. On a terminal it shows the plan and asks; in a script it does not. --dry-run shows each with its reasons, and what ' +
      'it would free. With --free-min what no rule keeps goes only as far as space is needed: the oldest of all these VMs ' +
      'first, one at a time, until every file system of their images has so much free (a part of its size, or bytes with ' +
      'K, M, G or T); without another rule the newest of each VM stays. Exit 5 when it is not reached.',
    arguments: [VM_PATTERNS],
    options: [
      LABEL,
      { flags: '--match <pattern>', help: 'also snapshots of these names', takes: 'snapshot-pattern' },
      ...RULES,
      ALL,
      ...FILTERS,
      JOBS,
    ],
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap prune centos7-1 --label nightly --keep-daily 7 --keep-weekly 4 --dry-run',
      "kvmsnap prune 'web-*' --label nightly --keep-within 14d",
    ],
    run: async (ctx, [vms], options) =>
      (await import('./prune/report.ts')).pruneVms(ctx, vms as readonly string[], options as PruneOptions),
  },
  {
    name: 'check',
    needsWriting: ['fix'],
    summary: 'tell whether VMs can be snapshotted, reverted and trusted',
    detail:
      'Judges each VM by the rules that create and revert go by, and compares what libvirt believes with what the disks ' +
      'hold. Exit 5 when there is an error or a warning; information is none. With --max-age a VM whose newest snapshot ' +
      'is older is an error too, so that a monitor can watch the cron job. Changes nothing, unless --fix: it shows one plan ' +
      'over all VMs, asks (in a script it needs --yes), goes on after a failure, looks again, and tells what is left. ' +
      'What is not proven to be safe is reported and left alone, as is a VM that a job holds.',
    arguments: [
      {
        syntax: '[vms...]',
        help: 'names, UUIDs or patterns; without any, all VMs',
        takes: 'vm',
      },
    ],
    options: [
      { flags: '--fix', help: 'mend what can safely be mended, once you have agreed to the plan' },
      { flags: '--max-age <span>', help: 'the newest snapshot must be younger: 90min, 26h, 8d, 2w, 6mo' },
      { flags: '--label <label>', help: 'of --max-age: count only snapshots of this label' },
      ...FILTERS,
    ],
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap check',
      'kvmsnap check centos7-1 --fix --dry-run',
      'kvmsnap check --max-age 26h --label nightly -q',
    ],
    run: async (ctx, [vms], options) =>
      (await import('./check/report.ts')).check(ctx, vms as readonly string[], options as CheckOptions),
  },
  {
    name: 'space',
    needsWriting: false,
    summary: 'tell what each snapshot costs on disk, and what deleting it frees',
    detail:
      'Exact, from the metadata of the qcow2 images, which are only read. FREES: what the host gets back when this one alone is ' +
      'deleted. HOLDS: all that it refers to, most of it shared with others. CHANGED: what differs from its parent. Of an external ' +
      'snapshot it is the overlay that it HOLDS, and merging that into the image below that FREES. Of a running ' +
      'VM the figures are approximate (~), since QEMU has not written all that it knows; --exact pauses the guest for some ' +
      'milliseconds, when it does, and says for how long. With names: what deleting these ' +
      'together frees. Exit 5 when an image cannot be measured.',
    arguments: [VM_NAME, { syntax: '[names...]', help: 'the snapshots', takes: 'snapshot' }],
    options: [
      { flags: '--disks', help: 'each disk as well' },
      { flags: '--exact', help: 'pause a running guest for a moment, for exact figures' },
      {
        flags: '--sort <by>',
        help: 'frees (the most expensive first) or created',
        takes: ['frees', 'created'],
      },
    ],
    failures: ['check', 'busy'],
    examples: [
      'kvmsnap space centos7-1',
      'kvmsnap space centos7-1 old-1 old-2',
      'kvmsnap space centos7-1 --sort frees',
    ],
    run: async (ctx, [vm, names], options) =>
      (await import('./space/report.ts')).space(
        ctx,
        vm as string,
        names as readonly string[],
        options as SpaceOptions,
      ),
  },
  {
    name: 'hold',
    needsWriting: true,
    summary: 'protect a snapshot from every prune and delete',
    detail: 'Kept as a last line of its description. No option of delete overrides it.',
    arguments: [VM_NAME, SNAPSHOT],
    options: [],
    failures: ['check', 'busy'],
    examples: ['kvmsnap hold centos7-1 snapshot-2'],
    run: async (ctx, [vm, name]) =>
      (await import('./describe/report.ts')).setHold(ctx, vm as string, name as string, true),
  },
  {
    name: 'unhold',
    needsWriting: true,
    summary: 'take back a hold',
    detail: 'Lets prunes and deletes have the snapshot again.',
    arguments: [VM_NAME, SNAPSHOT],
    options: [],
    failures: ['check', 'busy'],
    examples: ['kvmsnap unhold centos7-1 snapshot-2'],
    run: async (ctx, [vm, name]) =>
      (await import('./describe/report.ts')).setHold(ctx, vm as string, name as string, false),
  },
  {
    name: 'describe',
    needsWriting: true,
    summary: 'give a snapshot another description',
    detail:
      "libvirt's metadata of the snapshot is written anew with the text; a copy of the old is kept in ~/.local/state/kvmsnap. " +
      'The images are not touched. An empty text takes the description away.',
    arguments: [VM_NAME, SNAPSHOT, { syntax: '<text>', help: 'the description', takes: 'text' }],
    options: [],
    failures: ['check', 'busy'],
    examples: ["kvmsnap describe centos7-1 snapshot-2 'after the upgrade'"],
    run: async (ctx, [vm, name, text]) =>
      (await import('./describe/report.ts')).describe(ctx, vm as string, name as string, text as string),
  },
  {
    name: 'completion',
    needsWriting: false,
    summary: 'print the script that completes command lines in a shell',
    detail:
      'It completes commands, options, and the names of VMs and snapshots, for which it asks libvirt at each TAB, for 3 s ' +
      'at most. Its place: for bash ~/.local/share/bash-completion/completions/kvmsnap, for zsh the file _kvmsnap in a ' +
      'directory of $fpath, for fish ~/.config/fish/completions/kvmsnap.fish.',
    arguments: [SHELL],
    options: [],
    failures: [],
    examples: [
      'source <(kvmsnap completion bash)',
      'kvmsnap completion fish > ~/.config/fish/completions/kvmsnap.fish',
    ],
    run: async (ctx, [shell]) => (await import('./completion/completion.ts')).completion(ctx, shell as Shell),
  },
  {
    name: 'complete',
    hidden: true,
    needsWriting: false,
    summary: 'print what a command line may be completed with',
    detail: 'What the scripts of kvmsnap completion run at each TAB.',
    arguments: [SHELL, { syntax: '[words...]', help: 'the line so far, behind --', takes: 'text' }],
    options: [],
    failures: [],
    examples: ["kvmsnap complete fish -- list ''"],
    run: async (ctx, [shell, words]) =>
      (await import('./completion/complete.ts')).complete(
        ctx,
        grammar(),
        shell as Shell,
        words as readonly string[],
      ),
  },
  {
    name: 'manual',
    hidden: true,
    needsWriting: false,
    summary: 'print the man page',
    detail: 'The man page in roff, for the build and for packagers.',
    arguments: [],
    options: [
      { flags: '--tables', help: "the README's tables instead, as JSON" },
      { flags: '--schemas', help: 'the JSON Schema of each document instead' },
    ],
    failures: [],
    examples: ['kvmsnap manual > kvmsnap.1'],
    run: async (ctx, _, options) => {
      const commands = shownCommands().map((command) => ({ ...command, detail: wholeOf(command) }));
      const content = { version: pkg.version, globals: GLOBAL_OPTIONS, commands };
      await (await import('./manual/manual.ts')).manual(ctx, content, options);
    },
  },
];

export const GLOBAL_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: '-c, --connect <uri>',
    help: 'the libvirt to talk to (default: whatever virsh itself would use)',
    takes: 'uri',
  },
  {
    flags: '-o, --output <format>',
    help: 'table, json, csv or name',
    takes: ['table', 'json', 'csv', 'name'],
  },
  { flags: '--json', help: 'as -o json' },
  { flags: '-q, --quiet', help: 'as -o name: names only' },
  {
    flags: '--color <when>',
    help: 'always, never or auto; NO_COLOR and FORCE_COLOR are heeded',
    takes: ['always', 'never', 'auto'],
  },
  { flags: '-y, --yes', help: 'do not ask' },
  { flags: '--dry-run', help: 'check, and print the virsh commands that would follow; change nothing' },
  {
    flags: '--readonly',
    help: 'connect as virsh -r does; only what changes nothing is done, all else is exit 2',
  },
  { flags: '-v, --verbose', help: 'print each command line to stderr as it runs, ready to paste' },
  {
    flags: '--timeout <duration>',
    help: 'stop waiting after this long (30, 30s, 10min, 2h; 0: no limit); libvirt itself carries on',
    kind: 'duration',
  },
  {
    flags: '--wait <duration>',
    help: 'while another job holds a VM, try again for so long (0: do not wait)',
    kind: 'duration',
  },
  { flags: '--silent', help: 'print nothing at all when all went well, and everything when not; for cron' },
];

/** The options that commander has of its own. */
export const HELP: OptionDefinition = { flags: '-h, --help', help: 'show the help' };
export const VERSION: OptionDefinition = { flags: '-V, --version', help: 'print the version' };

/** The commands that are for users. */
export function shownCommands(): CommandDefinition[] {
  return COMMANDS.filter(({ hidden }) => !hidden);
}

/** What it does, and then what that leaves out, in sentences. */
export function wholeOf({ summary, detail }: CommandDefinition): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}. ${detail}`;
}

/** All that can be typed, for its completion. */
export function grammar(): Grammar {
  const commands = shownCommands();
  const names = commands.map(({ name }) => name);
  const help = {
    name: 'help',
    summary: HELP.help,
    arguments: [{ syntax: '[command]', takes: names }],
    options: [],
  };
  return { globals: [...GLOBAL_OPTIONS, HELP, VERSION], commands: [...commands, help] };
}

/** Failures that any command can end with. */
export const COMMON_FAILURES: readonly FailureCode[] = [
  'refused',
  'usage',
  'not-found',
  'unreachable',
  'tool-missing',
  'timed-out',
  'hung-up',
  'interrupted',
  'terminated',
];
