//! Statements that are brought to a chain.

use std::sync::mpsc;
use std::time::Duration;

use subrosa_protocol::ids::Generation;

use super::shares::a_statement;
use super::*;

#[test]
fn what_is_no_news_to_a_chain_waits_for_no_commit() {
    let (store, _) = on_a_disk(Quotas::default());
    let vault = VaultId::from_bytes([7; 32]);
    let held = a_statement(vault);
    let planted = store.write(|txn| {
        txn.open_table(VAULTS)?.insert(vault.as_bytes(), &VaultMeta::new(5, 0).encode()[..])?;
        txn.open_table(STATEMENTS)?.insert((5, 0), &held.encode()[..])?;
        Ok(((), Changed::Yes))
    });
    planted.unwrap();
    let forged = Statement { generation: Generation(1), previous: held.hash(), ..held.clone() };
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (answers, answered) = mpsc::channel();
    let (store, held, forged) = (&store, &held, &forged);
    let came = std::thread::scope(|scope| {
        scope.spawn(move || {
            let committing = store.write(|_| {
                began.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(((), Changed::No))
            });
            committing.unwrap();
        });
        has_begun.recv().unwrap();
        scope.spawn(move || {
            let join = |tail: &[Statement]| store.join_statements(&vault, tail, 0).unwrap();
            let joined = [
                join(std::slice::from_ref(held)).map(|joined| joined.changed),
                join(&[held.clone(), forged.clone()]).map(|joined| joined.changed),
                join(&[]).map(|joined| joined.changed),
            ];
            answers.send(joined).unwrap();
        });
        let came = answered.recv_timeout(Duration::from_secs(60));
        go_on.send(()).unwrap();
        came
    });
    let refused = Err(ErrorCode::StatementRefused);
    assert_eq!(came, Ok([Ok(false), refused, refused]));
}
