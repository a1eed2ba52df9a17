import { rfc3339, visible } from './format.ts';
import { type Canvas, renderTable } from './table.ts';
import type { Column, Content, Section } from './view.ts';

/** A view as text in one of the output formats. Ends with a line feed, unless there is nothing to show. */
export async function render(
  view: Content,
  format: 'table' | 'json' | 'csv' | 'name',
  canvas: Canvas,
): Promise<string> {
  switch (format) {
    case 'json':
      return `${JSON.stringify({ schemaVersion: 1, ...view.document }, null, 2)}\n`;
    case 'csv':
      return renderCsv(view.sections[0]);
    case 'name':
      return view.names.map((name) => `${canvas.isTerminal ? visible(name) : name}\n`).join('');
    case 'table':
      return (await Promise.all(view.sections.map((section) => renderTable(section, canvas)))).join('\n');
  }
}

/** RFC 4180, with a header and line feeds; times by RFC 3339, sizes in bytes, nothing where there is nothing. */
function renderCsv(section: Section<never> | undefined): string {
  if (!section) return '';
  const { columns, rows } = section;
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
