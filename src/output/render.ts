import { rfc3339, visible } from './format.ts';
import type { Canvas } from './table/cell.ts';
import { renderTable } from './table/table.ts';
import type { Column, Content, Section } from './view.ts';

export interface Rendered {
  /** Ends with a line feed, unless there is nothing to show. */
  readonly text: string;
  /** The titles of columns of a table for which the terminal is too narrow. */
  readonly leftOut: readonly string[];
}

/** A view as text in one of the output formats. */
export async function render(
  view: Content,
  format: 'table' | 'json' | 'csv' | 'name',
  canvas: Canvas,
): Promise<Rendered> {
  if (format === 'table') return renderTables(view, canvas);
  return { text: renderData(view, format, canvas), leftOut: [] };
}

function renderData(view: Content, format: 'json' | 'csv' | 'name', { isTerminal }: Canvas): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify({ schemaVersion: 1, ...view.document }, null, 2)}\n`;
    case 'csv':
      return renderCsv(view.csv ?? view.sections[0]);
    case 'name':
      return view.names.map((name) => `${isTerminal ? visible(name) : name}\n`).join('');
  }
}

async function renderTables({ sections }: Content, canvas: Canvas): Promise<Rendered> {
  const filled = sections.filter(({ rows }) => rows.length > 0);
  const tables = await Promise.all(filled.map((section) => renderTable(section, canvas)));
  return {
    text: tables.map(({ text }) => text).join('\n'),
    leftOut: [...new Set(tables.flatMap(({ leftOut }) => leftOut))],
  };
}

/** CSV by RFC 4180, with a header and line feeds; times in RFC 3339, sizes in bytes, empty fields for absent values. */
function renderCsv(section: Section<never> | undefined): string {
  if (!section) return '';
  const { rows } = section;
  const columns = section.columns.filter(({ kind }) => kind !== 'bar');
  const lines = [
    columns.map((column) => column.key),
    ...rows.map((row) => columns.map((column) => csvValue(column, row))),
  ];
  return lines.map((line) => `${line.map(csvField).join(',')}\n`).join('');
}

function csvValue<Row>(column: Column<Row>, row: Row): string {
  const value = (column.data ?? column.value)(row);
  if (value === null) return '';
  return column.kind === 'time' && typeof value === 'number' ? rfc3339(value) : String(value);
}

const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
