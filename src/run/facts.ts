import { type Column, type Section, section, type Value } from '../output/view.ts';

/** What is said of one thing, a line each. */
export interface Fact {
  readonly label: string;
  readonly value: Value;
}

const COLUMNS: readonly Column<Fact>[] = [
  { key: 'fact', title: 'FACT', kind: 'text', value: ({ label }) => label, tone: () => 'faint' },
  { key: 'value', title: 'VALUE', kind: 'text', value: ({ value }) => value, flexible: true },
];

export const facts = (rows: readonly Fact[]): Section<never> => section({ columns: COLUMNS, rows });
