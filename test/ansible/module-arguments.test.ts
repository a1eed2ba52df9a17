import { expect, test } from 'vitest';
import { parseModuleArguments } from '../../src/ansible/module-arguments.ts';

const of = (given: object) => parseModuleArguments(JSON.stringify(given));

test.each([
  [{ cmd: "delete web-1 'a b' \"it's\"" }, ['delete', 'web-1', 'a b', "it's"]],
  [{ cmd: '' }, []],
  [
    { argv: ['create', '--all', '--keep-daily', 7, '$(x)'] },
    ['create', '--all', '--keep-daily', '7', '$(x)'],
  ],
])('%j', (given, words) => {
  expect(of(given)).toEqual({ words, isCheck: false });
  expect(of({ ...given, _ansible_check_mode: true, _ansible_verbosity: 2 })).toEqual({
    words,
    isCheck: true,
  });
});

test.each([
  [{}, 'give either cmd or argv'],
  [{ cmd: 'list', argv: ['list'] }, 'give either cmd or argv'],
  [{ cmd: "list 'x" }, 'a quote is not closed'],
  [{ cmd: ['list'] }, 'a quote is not closed'],
  [{ argv: 'list' }, 'argv is not a list of words'],
  [{ argv: ['list', true] }, 'argv is not a list of words'],
  [{ cmd: 'list', vm: 'web' }, "the module has no parameter 'vm'"],
  [[], 'give either cmd or argv'],
])('refused: %j', (given, problem) => {
  expect(of(given)).toEqual({ problem: expect.stringContaining(problem) });
});

test('what is no JSON', () => {
  expect(parseModuleArguments('cmd=list')).toEqual({ problem: 'the file with the arguments is not JSON' });
  expect(parseModuleArguments('null')).toEqual({ problem: 'the arguments are not a JSON object' });
});
