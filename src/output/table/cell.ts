import { humanBytes, humanSpan, localTime, rfc3339, visible } from '../format.ts';
import type { Paint } from '../style.ts';
import type { Column, Value } from '../view.ts';
import { bar, drawn } from './glyphs.ts';

/** What a table is drawn on. */
export interface Canvas {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly paint: Paint;
  /** Draws with ASCII only. */
  readonly ascii: boolean;
  /** Seconds since the epoch, for ages. */
  readonly now: number;
}

/** The text of a cell of a table. */
export function cellText<Row>(column: Column<Row>, row: Row, canvas: Canvas): string {
  const { kind, lead, value } = column;
  const drawing = lead ? drawn(lead(row), canvas.ascii) : '';
  return drawing + (kind === 'mark' ? mark(value(row)) : valueText(column, row, canvas));
}

const mark = (value: Value): string => (typeof value === 'string' ? value : value ? '*' : '');

function valueText<Row>(column: Column<Row>, row: Row, canvas: Canvas): string {
  const value = column.value(row);
  if (value === null || value === '') return column.kind === 'bar' ? '' : '-';
  return typeof value === 'number' ? numberText(column, row, value, canvas) : visible(String(value));
}

function numberText<Row>(column: Column<Row>, row: Row, value: number, canvas: Canvas): string {
  switch (column.kind) {
    case 'bar':
      return bar(value, canvas.ascii);
    case 'bytes':
      return `${column.approximate?.(row) ? '~' : ''}${humanBytes(value)}`;
    case 'time':
      return timeText(value, column.age ?? false, canvas);
    default:
      return String(value);
  }
}

/** A script that reads a table gets a time that is one everywhere. */
function timeText(seconds: number, age: boolean, { isTerminal, now }: Canvas): string {
  if (!isTerminal) return rfc3339(seconds);
  return age ? `${localTime(seconds)} (${humanSpan(now - seconds)})` : localTime(seconds);
}
