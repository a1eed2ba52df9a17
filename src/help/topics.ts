/** The pages of the manual, which `kvmsnap help TOPIC` and the man pages of section 7 show. */

export interface Topic {
  readonly name: string;
  readonly summary: string;
  /** The page in Markdown. */
  readonly load: () => Promise<{ readonly default: string }>;
}

/** Other words for topics, each with the page that covers it. A word for a command is in command-line/other-words.ts. */
export const TOPIC_WORDS: Readonly<Record<string, readonly string[]>> = {
  external: ['overlay', 'overlays', 'chain', 'disk-only', 'memspec', 'diskspec', 'quiesce', 'freeze'],
  snapshots: ['memory', 'pause'],
  fixing: ['pool', 'pools', 'volume', 'findings'],
  'taking-out': ['backup', 'backups', 'files', 'nbd', 'guestfish'],
  retention: ['keep', 'rules', 'label', 'labels', 'holds', 'free-min'],
  nightly: ['cron', 'crontab', 'systemd', 'timers', 'schedule', 'signals'],
  hooks: ['database', 'databases', 'before', 'after'],
  monitoring: ['nagios', 'icinga', 'prometheus', 'metrics', 'limits'],
  'several-vms': ['group', 'groups', 'together', 'patterns'],
  'several-hosts': ['host', 'hosts', 'ssh', 'remote'],
  scripting: ['script', 'scripts', 'json', 'csv', 'yes', 'terminal'],
  'moving-vms': ['move', 'migrate', 'migration', 'rename'],
  reference: ['force', 'advisory'],
  'tab-completion': ['tab', 'bash', 'zsh', 'fish'],
  'from-virsh': ['virsh'],
  permissions: ['root', 'sudo', 'libvirt', 'raw', 'connect'],
  'exit-codes': ['exit', 'exit-code', 'codes'],
};

/** The topic that a word stands for: itself, if it is no other word for one. */
export const topicFor = (word: string): string =>
  Object.entries(TOPIC_WORDS).find(([, words]) => words.includes(word))?.[0] ?? word;

/** All pages, in the order in which help and README list them. */
export const TOPICS: readonly Topic[] = [
  {
    name: 'snapshots',
    summary: 'take, list, revert and delete, in detail',
    load: () => import('../manual/snapshots.md'),
  },
  {
    name: 'external',
    summary: 'snapshots in overlay files and memory files',
    load: () => import('../manual/external.md'),
  },
  {
    name: 'trying',
    summary: 'run a command, and offer to revert if it fails',
    load: () => import('../manual/trying.md'),
  },
  {
    name: 'taking-out',
    summary: 'copy, read or clone the disks of a snapshot',
    load: () => import('../manual/taking-out.md'),
  },
  {
    name: 'verifying',
    summary: 'prove that the guest of a snapshot boots',
    load: () => import('../manual/verifying.md'),
  },
  {
    name: 'retention',
    summary: 'keep rules, holds, and free space',
    load: () => import('../manual/retention.md'),
  },
  {
    name: 'nightly',
    summary: 'cron, systemd timers, signals',
    load: () => import('../manual/nightly.md'),
  },
  {
    name: 'policies',
    summary: 'options in a file: @nightly',
    load: () => import('../manual/policies.md'),
  },
  {
    name: 'hooks',
    summary: 'programs before and after a snapshot, databases',
    load: () => import('../manual/hooks.md'),
  },
  {
    name: 'monitoring',
    summary: 'limits for check; Nagios, Prometheus',
    load: () => import('../manual/monitoring.md'),
  },
  { name: 'several-vms', summary: 'many VMs at once', load: () => import('../manual/several-vms.md') },
  {
    name: 'several-hosts',
    summary: 'many hosts over ssh, with nothing installed there',
    load: () => import('../manual/several-hosts.md'),
  },
  {
    name: 'ansible',
    summary: 'a module for Ansible, and playbooks',
    load: () => import('../manual/ansible.md'),
  },
  {
    name: 'scripting',
    summary: 'questions, exit codes, JSON, CSV',
    load: () => import('../manual/scripting.md'),
  },
  { name: 'fixing', summary: 'check, and check --fix', load: () => import('../manual/fixing.md') },
  {
    name: 'other-tools',
    summary: 'snapshots that other tools made or left',
    load: () => import('../manual/other-tools.md'),
  },
  {
    name: 'moving-vms',
    summary: 'keep the snapshots of a VM that is moved or renamed',
    load: () => import('../manual/moving-vms.md'),
  },
  {
    name: 'disk-space',
    summary: 'what a snapshot costs on disk',
    load: () => import('../manual/disk-space.md'),
  },
  {
    name: 'shared-images',
    summary: 'images used by more than one VM',
    load: () => import('../manual/shared-images.md'),
  },
  {
    name: 'permissions',
    summary: 'users, connections, remote hosts, raw disks',
    load: () => import('../manual/permissions.md'),
  },
  {
    name: 'tab-completion',
    summary: 'TAB in bash, zsh and fish',
    load: () => import('../manual/tab-completion.md'),
  },
  {
    name: 'from-virsh',
    summary: 'each option of virsh and its counterpart in kvmsnap',
    load: () => import('../manual/from-virsh.md'),
  },
  { name: 'reference', summary: 'all commands and options', load: () => import('../manual/reference.md') },
  {
    name: 'hazards',
    summary: 'what kvmsnap protects you from, on each libvirt',
    load: () => import('../manual/hazards.md'),
  },
  {
    name: 'performance',
    summary: 'speed and memory, measured',
    load: () => import('../manual/performance.md'),
  },
  { name: 'development', summary: 'working on kvmsnap', load: () => import('../manual/development.md') },
];
