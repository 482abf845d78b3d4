//! What fails in the relay is the fault of the link or the vault that met it, and of nobody else.

use std::sync::atomic::Ordering;

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{Credential, FeedFrame, Role};
use subrosa_relay::Moment;

use crate::client::Client;
use crate::fixture::Vault;
use crate::home::{acked, armed_for, push};

#[tokio::test]
async fn a_lookup_whose_thread_panics_is_answered_and_its_link_goes_on() {
    let (_dir, relay, armed) = armed_for(Moment::LookUp);
    let mut vault = Vault::new();
    let mut a = Client::hello(relay.addr()).await;
    a.create(&vault, Credential::None).await.unwrap();
    a.logs(&vault).await;
    let mut b = Client::hello(relay.addr()).await;
    armed.store(true, Ordering::Release);
    b.send_auth(&vault, Role::Writer).await;
    let refusal = b.refusal().await;
    assert_eq!((refusal.code, refusal.vault), (ErrorCode::Internal, vault.id));
    b.auth(&vault, Role::Writer).await;
    let segments = vec![vault.data.segment(&vault.id, 10)];
    acked(&push(&mut a, &vault, segments).await);
    assert!(relay.failure().is_none());
}

#[tokio::test]
async fn a_feed_that_cannot_be_read_rests_its_vault_and_not_the_others_of_its_link() {
    let (_dir, relay, armed) = armed_for(Moment::Feed);
    let (hurt, mut well) = (Vault::new(), Vault::new());
    let mut a = Client::hello(relay.addr()).await;
    for vault in [&hurt, &well] {
        a.create(vault, Credential::None).await.unwrap();
        a.logs(vault).await;
    }
    let mut reader = Client::hello(relay.addr()).await;
    reader.auth(&hurt, Role::Reader).await;
    reader.auth(&well, Role::Reader).await;
    let mut feed = reader.subscribe(well.id).await;
    feed.until_caught_up().await;
    armed.store(true, Ordering::Release);
    reader.send_subscribe_from_start(hurt.id).await;
    let refusal = reader.refusal().await;
    assert_eq!((refusal.code, refusal.vault), (ErrorCode::Internal, hurt.id));

    let live = well.data.segment(&well.id, 10);
    acked(&push(&mut a, &well, vec![live.clone()]).await);
    assert!(
        feed.until_caught_up()
            .await
            .iter()
            .any(|frame| matches!(frame, FeedFrame::Segment { segment, .. } if *segment == live))
    );
    reader.ended_feed().await;
    reader.subscribe(hurt.id).await.until_caught_up().await;
}
