import type { Document, DocumentName } from './contract.ts';
import type { Tone } from './style.ts';

/** What a command has to show, once for all formats: of the document that it prints with `-o json`. */
export type View = { readonly [Name in ShownName]: ViewOf<Name> }[ShownName];

/** The documents that go to stdout. */
type ShownName = Exclude<DocumentName, 'error'>;

export interface ViewOf<Name extends ShownName> extends Content {
  readonly kind: Name;
  readonly document: Document<Name>;
}

/** Whatever can be rendered. */
export interface Content {
  /** For `-o json`, without its `schemaVersion`. */
  readonly document: object;
  /** For `-o table`, all of them; for `-o csv` the first. */
  readonly sections: readonly Section<never>[];
  /** For `-o name`. */
  readonly names: readonly string[];
  /** Said on stderr beneath a table, for people. */
  readonly remarks?: readonly string[];
}

export interface Section<Row> {
  readonly title?: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
}

export type Value = string | number | boolean | null;

export interface Column<Row> {
  /** The head of the column in CSV, in the vocabulary of the JSON documents. */
  readonly key: string;
  /** The head of the column in a table. */
  readonly title: string;
  /** `time` is seconds since the epoch, `bytes` a size, `count` a number, `mark` true where a `*` stands. */
  readonly kind: 'text' | 'time' | 'bytes' | 'count' | 'mark';
  readonly value: (row: Row) => Value;
  /** The value for VMs (CSV), where a table says it in other words. */
  readonly data?: (row: Row) => Value;
  /** Of sizes that are not exact: `~` stands before each in a table. */
  readonly approximate?: (row: Row) => boolean;
  /** Left out of a table when it is empty in every row. */
  readonly ifAny?: boolean;
  /** May be cut where the terminal is too narrow. */
  readonly flexible?: boolean;
  /** Never cut, for cut it is worth nothing (a path): rather a line that wraps. */
  readonly whole?: boolean;
  readonly tone?: (row: Row) => Tone;
}

/** The first column where there may be several machines. */
export const VM_COLUMN: Column<{ readonly vm: string }> = {
  key: 'machine',
  title: 'VM',
  kind: 'text',
  value: ({ vm }) => vm,
};

/** Makes a section of any row type fit a view; a row is only ever given to its own columns. */
export function section<Row>(content: Section<Row>): Section<never> {
  return content as unknown as Section<never>;
}
