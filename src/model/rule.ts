/**
 * Rules decide, before anything is changed, whether an action can work. Each is one row of a table: what it looks for,
 * which hazard of virsh it covers, and how severe its findings are.
 */

export interface Finding {
  /** What is wrong, with the facts. */
  readonly what: string;
  /** What to do about it, in words. */
  readonly hint?: string;
  /** The command that fixes it. */
  readonly command?: string;
  /** Instead: the commands that fix it together, in this order. */
  readonly commands?: readonly string[];
  /** The snapshot that it is about; absent: the VM. */
  readonly snapshot?: string;
  /** The tag of an image that it is about, of which libvirt knows no snapshot. */
  readonly tag?: string;
}

/** The commands of a finding, none where there is none. */
export const commandsOf = ({ command, commands }: Finding): readonly string[] =>
  commands ?? (command === undefined ? [] : [command]);

export type Severity =
  /** Always refused: going on would lose data, or cannot work. */
  | 'error'
  /** An advisory check: refused without `--force`, since the finding may be wrong or the user may want it so. */
  | 'overridable'
  /** Printed; the action goes on. */
  | 'warning'
  /** Nothing is wrong; it is worth knowing. */
  | 'information';

export interface Rule<Facts> {
  readonly id: string;
  /** The numbers of the hazards of virsh that it covers (`kvmsnap help hazards`). */
  readonly hazards: readonly number[];
  readonly severity: Severity;
  /** Its findings are about the kind of VM and not its state, so a run over many VMs skips such a VM. */
  readonly unsupported?: true;
  /** Where it finds something, what the other rules of the table find is no matter: it has to be put right first. */
  readonly alone?: true;
  /** Where the facts have a `mode`: those for which it holds; absent: all. */
  readonly modes?: readonly string[];
  readonly find: (facts: Facts) => readonly Finding[];
}

export interface RuledFinding extends Finding {
  readonly rule: string;
  readonly severity: Severity;
  readonly unsupported: boolean;
}

/** Runs all rules of a table that hold for the facts' mode, in its order. */
export function applyRules<Facts extends object>(
  rules: readonly Rule<Facts>[],
  facts: Facts,
): RuledFinding[] {
  const { mode } = facts as { readonly mode?: string };
  const applied = rules
    .filter(({ modes }) => modes === undefined || mode === undefined || modes.includes(mode))
    .map(({ id, severity, unsupported = false, alone = false, find }) => ({
      alone,
      findings: find(facts).map((finding) => ({ ...finding, rule: id, severity, unsupported })),
    }));
  const first = applied.filter(({ alone, findings }) => alone && findings.length > 0);
  return (first.length > 0 ? first : applied).flatMap(({ findings }) => findings);
}

/** Bytes as whole mebibytes, rounded up, as the rules name sizes: `129 MiB`. */
export const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
