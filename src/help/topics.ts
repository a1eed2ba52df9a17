/** The pages of the manual beside this file: `kvmsnap help TOPIC`, and man pages of section 7. */

export interface Topic {
  readonly name: string;
  readonly summary: string;
  /** The page in Markdown. */
  readonly load: () => Promise<{ readonly default: string }>;
}

/** In the order in which help and README list them. */
export const TOPICS: readonly Topic[] = [
  {
    name: 'snapshots',
    summary: 'take, list, revert and delete, in detail',
    load: () => import('../manual/snapshots.md'),
  },
  {
    name: 'external',
    summary: 'snapshots in files of their own',
    load: () => import('../manual/external.md'),
  },
  {
    name: 'retention',
    summary: 'keep rules, holds, and free space',
    load: () => import('../manual/retention.md'),
  },
  {
    name: 'nightly',
    summary: 'cron, systemd timers, monitoring, signals',
    load: () => import('../manual/nightly.md'),
  },
  { name: 'several-vms', summary: 'many VMs at once', load: () => import('../manual/several-vms.md') },
  { name: 'scripting', summary: 'exit codes, JSON, CSV', load: () => import('../manual/scripting.md') },
  { name: 'fixing', summary: 'check, and check --fix', load: () => import('../manual/fixing.md') },
  {
    name: 'other-tools',
    summary: 'snapshots that other tools made or left',
    load: () => import('../manual/other-tools.md'),
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
    summary: 'each option of virsh, and what it is here',
    load: () => import('../manual/from-virsh.md'),
  },
  { name: 'reference', summary: 'all commands and options', load: () => import('../manual/reference.md') },
  {
    name: 'hazards',
    summary: 'what kvmsnap protects from, on each libvirt',
    load: () => import('../manual/hazards.md'),
  },
  { name: 'performance', summary: 'measurements', load: () => import('../manual/performance.md') },
  { name: 'development', summary: 'working on kvmsnap', load: () => import('../manual/development.md') },
];
