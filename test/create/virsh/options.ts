// Every option of virsh's snapshot commands, and what it is here: the manual's table, held against `virsh help`.

/** Of one option: the same name here; another one, or a command; or why there is none. */
type TargetFile = 'same' | { readonly as: string } | { readonly why: string };

const as = (words: string): TargetFile => ({ as: words });
const why = (reason: string): TargetFile => ({ why: reason });

/** The VM and the snapshot are arguments here, and a VM's name is never taken for another one's id. */
const NAMES = {
  domain: as('`<vm>`, by its exact name or UUID'),
  snapshotname: as('`<name>`'),
};

/** Of the commands that can work on several VMs. */
const PATTERN = as('`<vm>`, by name or UUID, also by pattern');
const PATTERNS = as('`[vms...]`, also several and by pattern');

const XML_ONLY = why('`kvmsnap info VM NAME --xml | xmllint --xpath EXPRESSION -`');

const CREATING: Readonly<Record<string, TargetFile>> = {
  'no-metadata': 'same',
  halt: 'same',
  'disk-only': 'same',
  'reuse-external': 'same',
  quiesce: 'same',
  atomic: 'same',
  live: 'same',
  validate: 'same',
};

/** By virsh's command without `snapshot-`: the command here, and each option. */
export const VIRSH_OPTIONS: Readonly<
  Record<string, { readonly command: string; readonly options: Readonly<Record<string, TargetFile>> }>
> = {
  create: {
    command: 'create',
    options: {
      domain: PATTERNS,
      xmlfile: as('`--xml <file>`'),
      redefine: 'same',
      current: 'same',
      ...CREATING,
    },
  },
  'create-as': {
    command: 'create-as',
    options: {
      domain: PATTERN,
      name: as('`<name>`'),
      description: 'same',
      'print-xml': 'same',
      ...CREATING,
      memspec: 'same',
      diskspec: 'same',
    },
  },
  list: {
    command: 'list',
    options: {
      domain: PATTERNS,
      parent: as('always shown'),
      roots: 'same',
      leaves: 'same',
      'no-leaves': 'same',
      metadata: as('accepted, without effect: all listed snapshots have metadata'),
      'no-metadata': why('libvirt cannot list them either; `info` shows all tags in the images'),
      inactive: 'same',
      active: 'same',
      'disk-only': 'same',
      internal: 'same',
      external: 'same',
      tree: 'same',
      from: 'same',
      current: 'same',
      descendants: 'same',
      name: as('`-q`'),
      topological: as('accepted, without effect: parents are always listed first'),
    },
  },
  info: { command: 'info', options: { ...NAMES, current: 'same' } },
  current: {
    command: 'current',
    options: {
      domain: NAMES.domain,
      name: as('always prints the name; `--xml` prints the whole XML'),
      'security-info': 'same',
      snapshotname: as('`--set <name>`'),
    },
  },
  revert: {
    command: 'revert',
    options: {
      ...NAMES,
      current: 'same',
      running: 'same',
      paused: 'same',
      force: 'same',
      'reset-nvram': 'same',
    },
  },
  delete: {
    command: 'delete',
    options: {
      domain: PATTERN,
      snapshotname: as('`[names...]`, also several'),
      current: 'same',
      children: 'same',
      'children-only': 'same',
      metadata: 'same',
    },
  },
  dumpxml: {
    command: 'info --xml',
    options: { ...NAMES, 'security-info': 'same', xpath: XML_ONLY, wrap: XML_ONLY },
  },
  parent: {
    command: 'info',
    options: { ...NAMES, current: 'same' },
  },
  edit: {
    command: 'describe',
    options: {
      ...NAMES,
      current: as('the command `kvmsnap current VM --set NAME`'),
      rename: why('the tags inside the images would keep the old name'),
      clone: why('with a second name for the same tags, deleting one would break the other'),
    },
  },
};

/** The manual's table, in Markdown: options that are the same here share a row. */
export function virshTable(): string {
  const rows = Object.entries(VIRSH_OPTIONS).flatMap(([virsh, { command, options }]) => {
    const all = Object.entries(options);
    const same = all.filter(([, place]) => place === 'same').map(([name]) => `\`--${name}\``);
    const others = all.flatMap(([name, place]) =>
      place === 'same' ? [] : [[`\`--${name}\``, 'as' in place ? place.as : `none: ${place.why}`]],
    );
    const lines = [...others, ...(same.length > 0 ? [[same.join(' '), 'the same']] : [])];
    return lines.map(([option = '', here = '']) => [`\`snapshot-${virsh}\``, option, `\`${command}\``, here]);
  });
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    line(['virsh', 'option', 'kvmsnap', 'option']),
    line(['---', '---', '---', '---']),
    ...rows.map(line),
  ].join('\n');
}
