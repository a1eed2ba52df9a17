import type { Document, DocumentName } from './contract.ts';
import type { Tone } from './style.ts';

/** The output of a command, defined once for all formats. */
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
  /** For `-o table`, all sections; a section without rows is not drawn. */
  readonly sections: readonly Section<never>[];
  /** For `-o csv`; absent: the first of the sections. */
  readonly csv?: Section<never>;
  /** For `-o name`. */
  readonly names: readonly string[];
  /** Printed on stderr instead of a table without rows. */
  readonly empty?: string;
  /** Printed on stderr below a table, for people on a terminal. */
  readonly remarks?: readonly string[];
}

export interface Section<Row> {
  readonly title?: string;
  /** Whether the columns have titles; absent: they have. */
  readonly heads?: boolean;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  /** Lines below a row. */
  readonly beneath?: (row: Row) => readonly Line[];
}

/** A line below a row. */
export interface Line {
  readonly text: string;
  /** Text to be copied (a command, a path), which has a line of its own and is never broken. */
  readonly verbatim?: boolean;
}

export type Value = string | number | boolean | null;

export interface Column<Row> {
  /** The header of the column in CSV, in the words of the JSON documents. */
  readonly key: string;
  /** The header of the column in a table. */
  readonly title: string;
  /**
   * `time` is seconds since the epoch, `bytes` a size, `count` a number, `mark` a sign for people or true for a `*`, `bar` a
   * share from 0 to 1 that is drawn on a terminal, and nowhere else.
   */
  readonly kind: 'text' | 'time' | 'bytes' | 'count' | 'mark' | 'bar';
  readonly value: (row: Row) => Value;
  /** The value for programs (CSV), where a table shows it in other words. */
  readonly data?: (row: Row) => Value;
  /** Whether the size is an estimate, which a table marks with `~`. */
  readonly approximate?: (row: Row) => boolean;
  /** For a time: on a terminal its age is shown too. */
  readonly age?: boolean;
  /** Left out of a table if it is empty in every row. */
  readonly ifAny?: boolean;
  /** Drawn before the value, with the characters of `glyphs.ts`. */
  readonly lead?: (row: Row) => string;
  /** On a terminal it is shown only if it differs from the row above. */
  readonly grouped?: boolean;
  /** The column may be left out if the terminal is too narrow; the one with the smallest number first (`LEAVES`). */
  readonly leaves?: number;
  /** Sentences, which are wrapped at words if the terminal is too narrow, before other columns become narrower. */
  readonly wraps?: boolean;
  /** Useless if it is broken (a path): if it does not fit, it is printed on a line of its own below the row. */
  readonly ownLine?: boolean;
  /** For names of VMs: the column takes at most this part of the terminal's width. */
  readonly share?: number;
  readonly tone?: (row: Row) => Tone;
}

/** The order in which columns are left out if the terminal is too narrow. */
export const LEAVES = {
  bar: 0,
  rule: 1,
  kind: 2,
  memory: 3,
  parent: 4,
  state: 5,
  figures: 6,
  created: 7,
  description: 8,
} as const;

/** The largest part of the width for the name of a VM. */
const VM_SHARE = 1 / 3;

/** The first column if there may be several VMs. */
export const vmColumn = <Row>(value: (row: Row) => string, key = 'machine'): Column<Row> => ({
  key,
  title: 'VM',
  kind: 'text',
  share: VM_SHARE,
  value,
});

/** The same for tables in which several consecutive rows belong to one VM. */
export const VM_COLUMN: Column<{ readonly vm: string }> = { ...vmColumn(({ vm }) => vm), grouped: true };

/** A bar next to a figure, which shows its share of the largest one. */
export function barColumn<Row>(rows: readonly Row[], figure: (row: Row) => number): Column<Row> {
  const most = Math.max(1, ...rows.map(figure));
  return { key: 'bar', title: '', kind: 'bar', leaves: LEAVES.bar, value: (row) => figure(row) / most };
}

/** Makes a section with any row type fit a view; each row is used only with its own columns. */
export function section<Row>(content: Section<Row>): Section<never> {
  return content as unknown as Section<never>;
}
