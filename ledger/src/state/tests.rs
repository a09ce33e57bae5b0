use super::*;
use crate::id::LeaseId;
use crate::member::MemberCode;
use crate::money::Money;
use crate::row::{Account, AccountId, Deadline, DeadlineKind};
use crate::tables::Accounts;
use crate::time::TimeMs;
use proptest::prelude::*;

type Rows = BTreeMap<AccountId, Account>;

fn key(number: u8) -> AccountId {
    AccountId::Stake(LeaseId([number; 32]))
}

fn account(balance: u64) -> Account {
    Account { home: MemberCode::EU, balance: Money(balance) }
}

fn state_of(rows: &Rows) -> State {
    let rows = rows
        .iter()
        .map(|(key, row)| (Accounts::ID, borsh::to_vec(key).unwrap(), borsh::to_vec(row).unwrap()));
    State::load(rows, BlockId([0; 32])).unwrap()
}

/// What a block does to a table, for a test to do it to a map as well.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u64),
    Edit(u8, u64),
    Remove(u8),
    Mark,
    RollBack(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, balance) = (0u8..5, 0u64..4);
    prop_oneof![
        (key.clone(), balance.clone()).prop_map(|(key, balance)| Step::Put(key, balance)),
        (key.clone(), balance).prop_map(|(key, balance)| Step::Edit(key, balance)),
        key.prop_map(Step::Remove),
        Just(Step::Mark),
        any::<prop::sample::Index>().prop_map(Step::RollBack),
    ]
}

proptest! {
    #[test]
    fn a_view_is_a_map_that_can_be_taken_back_to_any_mark(
        before in prop::collection::btree_map((0u8..5).prop_map(key), (0u64..4).prop_map(account), 0..5),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let state = state_of(&before);
        let (mut view, mut rows) = (state.view(), before.clone());
        let mut marks = vec![(view.mark(), rows.clone())];
        for step in steps {
            match step {
                Step::Put(number, balance) => {
                    view.put::<Accounts>(key(number), account(balance));
                    rows.insert(key(number), account(balance));
                }
                Step::Edit(number, balance) => {
                    let edited = view.edit::<Accounts>(&key(number)).map(|row| row.balance = Money(balance));
                    let expected = rows.get_mut(&key(number)).map(|row| row.balance = Money(balance));
                    prop_assert_eq!(edited, expected);
                }
                Step::Remove(number) => {
                    view.remove::<Accounts>(&key(number));
                    rows.remove(&key(number));
                }
                Step::Mark => marks.push((view.mark(), rows.clone())),
                Step::RollBack(index) => {
                    // A later mark means nothing once the changes before it are taken back.
                    marks.truncate(index.index(marks.len()) + 1);
                    let (mark, then) = marks.last().unwrap();
                    view.roll_back(*mark);
                    rows = then.clone();
                }
            }
            prop_assert!(view.range::<Accounts>(..).eq(rows.iter()));
            for number in 0..5 {
                prop_assert_eq!(view.get::<Accounts>(&key(number)), rows.get(&key(number)));
                let lent = view.lend::<Accounts>(&key(number)).map(Cow::into_owned);
                prop_assert_eq!(lent.as_ref(), rows.get(&key(number)));
            }
        }
        let changes = view.into_changes(state.trie());
        prop_assert_eq!(changes.root(), state_of(&rows).root());
        let changed = (0..5).filter(|number| before.get(&key(*number)) != rows.get(&key(*number))).count();
        prop_assert_eq!(changes.rows().len(), changed, "what is as it was is no change");
    }

    #[test]
    fn deadlines_come_by_time_then_kind_then_subject(
        one in (0u64..3, any::<bool>(), prop::array::uniform32(0u8..2)),
        next in (0u64..3, any::<bool>(), prop::array::uniform32(0u8..2)),
    ) {
        let deadline = |(due, batch, subject): (u64, bool, [u8; 32])| {
            let kind = if batch { DeadlineKind::Batch } else { DeadlineKind::LeaseEnd };
            Deadline { due: TimeMs(due), kind, subject }
        };
        let fields = |(due, batch, subject): (u64, bool, [u8; 32])| (due, batch, subject.to_vec());
        prop_assert_eq!(deadline(one).cmp(&deadline(next)), fields(one).cmp(&fields(next)));
    }

    #[test]
    fn ids_are_in_the_order_of_their_bytes(
        one in prop::array::uniform32(0u8..2),
        next in prop::array::uniform32(0u8..2),
        equal in 0usize..33,
    ) {
        let mut next = next;
        next[..equal].copy_from_slice(&one[..equal]);
        prop_assert_eq!(LeaseId(one).cmp(&LeaseId(next)), one.as_slice().cmp(next.as_slice()));
        prop_assert_eq!(crate::id::order(&one, &next), one.as_slice().cmp(next.as_slice()));
    }
}
