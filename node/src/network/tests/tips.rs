//! Members tell each other how far they are, each for itself.

use super::*;

#[tokio::test]
async fn a_member_that_is_asked_says_the_height_it_was_last_told() {
    let [one, two] = plans();
    let (first, second) =
        (one.start(&[&one, &two], &App::new()).await, two.start(&[&one, &two], &App::new()).await);
    until_ready(&first, 1).await;
    assert_eq!(first.ask_tip(second.local_peer_id()).await, Some(0));
    second.set_tip(7);
    assert_eq!(first.ask_tip(second.local_peer_id()).await, Some(7));
    assert_eq!(second.ask_tip(PeerId::random()).await, None, "a stranger is not asked");
    second.shutdown().await;
    assert_eq!(first.ask_tip(second.local_peer_id()).await, None);
}
