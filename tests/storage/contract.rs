//! What every store must do. Each function uses keys of its own.

use std::collections::BTreeSet;

use batch_inference_operator::storage::{Error, Put, Store};
use futures::future::join_all;

pub async fn holds_on(store: &Store) {
    a_second_create_changes_nothing(store).await;
    of_many_creates_at_once_one_wins(store).await;
    what_is_not_there_is_none(store).await;
    ranges_end_where_the_object_ends(store).await;
    a_listing_is_sorted_and_stays_in_its_folder(store).await;
    an_overwrite_replaces_and_an_abort_does_not(store).await;
    empty_objects_exist(store).await;
    uris_name_the_place(store);
}

async fn a_second_create_changes_nothing(store: &Store) {
    let create = |text: &'static str| store.create("created", text);
    assert_eq!(create("first").await.unwrap(), Put::Created);
    assert_eq!(create("second").await.unwrap(), Put::AlreadyExists);
    assert_eq!(store.read("created").await.unwrap().unwrap(), "first");
}

async fn of_many_creates_at_once_one_wins(store: &Store) {
    let creates = (0..8).map(|n| store.create("raced", format!("{n}")));
    let puts = join_all(creates).await;
    let won = puts.iter().filter(|put| matches!(put, Ok(Put::Created)));
    assert_eq!(won.count(), 1, "{puts:?}");
}

async fn what_is_not_there_is_none(store: &Store) {
    assert_eq!(store.read("nothing").await.unwrap(), None);
    assert_eq!(store.size("nothing").await.unwrap(), None);
    assert_eq!(store.list("nothing/").await.unwrap(), []);
    let error = store.read_range("nothing", 0..1).await.unwrap_err();
    let told = matches!(&error, Error::NotFound { uri, .. } if *uri == store.uri_of("nothing"));
    assert!(told, "{error:?}");
}

async fn ranges_end_where_the_object_ends(store: &Store) {
    store.create("ranges", "0123456789").await.unwrap();
    assert_eq!(store.size("ranges").await.unwrap(), Some(10));
    assert_eq!(store.read_range("ranges", 2..5).await.unwrap(), "234");
    assert_eq!(store.read_range("ranges", 8..99).await.unwrap(), "89");
}

async fn a_listing_is_sorted_and_stays_in_its_folder(store: &Store) {
    for key in ["list/b", "list/a/c", "list/a#1x", "list2/x"] {
        store.create(key, "1").await.unwrap();
    }
    let listed = store.list("list/").await.unwrap();
    let keys: Vec<_> = listed.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["list/a#1x", "list/a/c", "list/b"]);
    assert!(listed.iter().all(|entry| entry.size == 1));
    let all: BTreeSet<_> = store.list("").await.unwrap().into_iter().collect();
    assert!(listed.iter().all(|entry| all.contains(entry)));
}

async fn an_overwrite_replaces_and_an_abort_does_not(store: &Store) {
    store.create("overwritten", "first").await.unwrap();
    let mut aborted = store.overwrite("overwritten", 0);
    aborted.write(b"aborted").await.unwrap();
    aborted.abort().await;
    assert_eq!(store.read("overwritten").await.unwrap().unwrap(), "first");

    let mut writer = store.overwrite("overwritten", 0);
    writer.write(b"sec").await.unwrap();
    writer.write(b"ond").await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.read("overwritten").await.unwrap().unwrap(), "second");
}

async fn empty_objects_exist(store: &Store) {
    store.overwrite("empty", 0).finish().await.unwrap();
    assert_eq!(store.size("empty").await.unwrap(), Some(0));
    assert_eq!(store.read("empty").await.unwrap().unwrap(), "");
}

fn uris_name_the_place(store: &Store) {
    let uri = store.uri_of("results.jsonl").to_string();
    assert!(uri.ends_with("/results.jsonl"), "{uri}");
}

/// Three parts and a rest, in pieces that fit neither.
pub async fn large_objects_are_written_in_parts(store: &Store) {
    let piece: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut writer = store.overwrite("large", 0);
    for _ in 0..27 {
        writer.write(&piece).await.unwrap();
    }
    assert_eq!(store.size("large").await.unwrap(), None);
    writer.finish().await.unwrap();
    let read = store.read("large").await.unwrap().unwrap();
    assert!(read.chunks_exact(piece.len()).all(|chunk| chunk == piece));
    assert_eq!(read.len(), 27 * piece.len());

    let mut aborted = store.overwrite("aborted", 0);
    for _ in 0..27 {
        aborted.write(&piece).await.unwrap();
    }
    aborted.abort().await;
    assert_eq!(store.size("aborted").await.unwrap(), None);
}
