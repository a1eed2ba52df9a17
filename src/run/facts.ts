import { type Column, type Section, section, type Value } from '../output/view.ts';

/** One fact about a thing, with its label. */
export interface Fact {
  readonly label: string;
  /** The label for programs (CSV), if it differs from the one for people. */
  readonly key?: string;
  readonly value: Value;
  /** The value for programs (CSV), if it differs from the one for people. */
  readonly data?: Value;
}

const COLUMNS: readonly Column<Fact>[] = [
  {
    key: 'fact',
    title: '',
    kind: 'text',
    value: ({ label }) => label,
    data: ({ label, key = label }) => key,
  },
  {
    key: 'value',
    title: '',
    kind: 'text',
    value: ({ value }) => value,
    data: ({ value, data }) => (data === undefined ? value : data),
    wraps: true,
  },
];

/** A section of labels and values, without a header. */
export const facts = (rows: readonly Fact[]): Section<never> =>
  section({ columns: COLUMNS, rows, heads: false });

/** The same for programs. */
export const factsCsv = (rows: readonly Fact[]): Section<never> => section({ columns: COLUMNS, rows });
