import { REDEFINE_RULES, type RegisterFacts } from '../../src/describe/rules.ts';
import { domain, seen, snapshot, tag } from '../model.ts';
import { describeRules } from '../rule-cases.ts';

const facts = (changes: Partial<RegisterFacts> = {}): RegisterFacts => ({
  domain: domain(),
  snapshotNames: ['before'],
  stored: new Map([['vda', seen({ tags: [tag('s1')] })]]),
  wanted: snapshot('s1', { parent: 'before' }),
  ...changes,
});

describeRules(
  'before a redefinition',
  REDEFINE_RULES,
  {
    'no-parent': {
      severity: 'error',
      cases: [
        { says: 'its parent is there', facts: facts(), finds: [] },
        { says: 'it has none', facts: facts({ wanted: snapshot('s1') }), finds: [] },
        {
          says: 'its parent is not known',
          facts: facts({ snapshotNames: [] }),
          finds: [{ what: /parent before is not a snapshot/, hint: /register the parent first/ }],
        },
      ],
    },
    'own-parent': {
      severity: 'error',
      cases: [
        { says: 'another', facts: facts(), finds: [] },
        {
          says: 'itself',
          facts: facts({ wanted: snapshot('s1', { parent: 's1' }) }),
          finds: [{ what: /its own parent/ }],
        },
      ],
    },
    'no-data': {
      severity: 'error',
      cases: [
        { says: 'its tag is there', facts: facts(), finds: [] },
        { says: 'nobody can look', facts: facts({ stored: new Map() }), finds: [] },
        {
          says: 'no tag',
          facts: facts({ stored: new Map([['vda', seen()]]) }),
          finds: [{ what: /disk vda contains no snapshot of that name/, hint: /another VM/ }],
        },
        {
          says: 'two',
          facts: facts({ stored: new Map([['vda', seen({ tags: [tag('s1'), tag('s1', { id: '2' })] })]]) }),
          finds: [{ what: /contains 2 snapshots/ }],
        },
      ],
    },
  },
  [facts()],
);
