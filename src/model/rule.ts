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
  /** Alternatively: several commands that fix it together, in this order. */
  readonly commands?: readonly string[];
  /** The snapshot that the finding is about; absent: the VM. */
  readonly snapshot?: string;
  /** The tag that the finding is about, if libvirt knows no snapshot of that name. */
  readonly tag?: string;
  /** Absent: that of the rule. */
  readonly severity?: Severity;
}

/** The commands of a finding; empty if there are none. */
export const commandsOf = ({ command, commands }: Finding): readonly string[] =>
  commands ?? (command === undefined ? [] : [command]);

/** Command lines as members of a finding, to be run in this order. */
export const inOrder = (lines: readonly string[]): Pick<Finding, 'command' | 'commands'> => {
  const [only, ...others] = lines;
  return only === undefined ? {} : others.length === 0 ? { command: only } : { commands: lines };
};

export type Severity =
  /** Always refused: continuing would lose data, or cannot work. */
  | 'error'
  /** An advisory check: refused without `--force`, because the finding may be wrong or the user may want it. */
  | 'overridable'
  /** Printed; the action continues. */
  | 'warning'
  /** Nothing is wrong; it is worth knowing. */
  | 'information';

export interface Rule<Facts> {
  readonly id: string;
  /** The numbers of the hazards of virsh that it covers (`kvmsnap help hazards`). */
  readonly hazards: readonly number[];
  readonly severity: Severity;
  /** Its findings are about the kind of VM and not about its state, so a run over many VMs skips such a VM. */
  readonly unsupported?: true;
  /** If it finds something, the findings of the other rules in the table are dropped, because this must be fixed first. */
  readonly alone?: true;
  /** If the facts have a `mode`: the modes to which the rule applies; absent: all. */
  readonly modes?: readonly string[];
  readonly find: (facts: Facts) => readonly Finding[];
}

export interface RuledFinding extends Finding {
  readonly rule: string;
  readonly severity: Severity;
  readonly unsupported: boolean;
}

/** Runs all rules of a table that apply to the mode of the facts, in their order. */
export function applyRules<Facts extends object>(
  rules: readonly Rule<Facts>[],
  facts: Facts,
): RuledFinding[] {
  const { mode } = facts as { readonly mode?: string };
  const applied = rules
    .filter(({ modes }) => modes === undefined || mode === undefined || modes.includes(mode))
    .map(({ id, severity, unsupported = false, alone = false, find }) => ({
      alone,
      findings: find(facts).map((finding) => ({
        ...finding,
        rule: id,
        severity: finding.severity ?? severity,
        unsupported,
      })),
    }));
  const first = applied.filter(({ alone, findings }) => alone && findings.length > 0);
  return (first.length > 0 ? first : applied).flatMap(({ findings }) => findings);
}

/** Bytes as whole mebibytes, rounded up, for the text of findings: `129 MiB`. */
export const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
