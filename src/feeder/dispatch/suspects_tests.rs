//! Rows that servers never answer, among others.

use super::*;

/// What became of the rows of a simulation.
#[derive(Debug, Default)]
struct Outcome {
    answered: Vec<u32>,
    failed: Vec<u32>,
    poison: Vec<u32>,
    /// Times that all rows of a replica had the fault of one.
    crashes: usize,
    took: Duration,
}

/// Sends rows to replicas that answer them within a second, but for those with a verdict of their own. A crash takes all rows of
/// its replica with it, and the replica is a new one a minute later.
fn simulate(rows: u32, ready: &[u8], verdict: impl Fn(u32) -> Verdict, until: Duration) -> Outcome {
    let start = Instant::now();
    let (mut now, mut dispatch, mut outcome) = (start, dispatch(rows, ready), Outcome::default());
    while !dispatch.is_empty() && now < start + until {
        let sent = send_all(&mut dispatch, now);
        now += seconds(1);
        let crashed: BTreeSet<_> = sent
            .iter()
            .filter(|sent| verdict(sent.row) == Verdict::ServerCrashed)
            .map(|sent| sent.replica)
            .collect();
        for sent in sent {
            let verdict = match verdict(sent.row) {
                _ if crashed.contains(&sent.replica) => Verdict::ServerCrashed,
                verdict => verdict,
            };
            let fate = match dispatch.settle(sent.request, verdict, 1, now, 1.0) {
                Settled::Finished if verdict == Verdict::Done => &mut outcome.answered,
                Settled::Finished => &mut outcome.failed,
                Settled::Poison => &mut outcome.poison,
                Settled::Again | Settled::TakenBack => continue,
            };
            fate.push(sent.row);
        }
        if !crashed.is_empty() {
            outcome.crashes += crashed.len();
            now += seconds(60);
            assert_eq!(dispatch.set_replicas(&replicas(&[]), now), []);
            assert_eq!(dispatch.set_replicas(&replicas(ready), now), []);
        }
        for silent in dispatch.to_probe(now) {
            // The server is there for a request of one token.
            assert_eq!(dispatch.probed(silent.replica, Sign::Answer, now, 1.0), []);
        }
    }
    outcome.answered.sort_unstable();
    outcome.took = now - start;
    outcome
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_row_that_crashes_servers_is_found_and_no_other_fails_with_it() {
    for (rows, ready, most_crashes) in [
        (10, &[1][..], 8),
        (10, &[1, 2], 8),
        (500, &[1, 2, 3], 10),
        (500, &[1], 8),
        (1, &[1], 4),
    ] {
        let poison = rows / 3;
        let verdict = |row| {
            if row == poison {
                Verdict::ServerCrashed
            } else {
                Verdict::Done
            }
        };
        let outcome = simulate(rows, ready, verdict, HOUR);
        assert_eq!(outcome.poison, [poison], "{ready:?}");
        assert_eq!(
            outcome.answered,
            (0..rows).filter(|row| *row != poison).collect::<Vec<_>>()
        );
        assert!((3..=most_crashes).contains(&outcome.crashes), "{outcome:?}");
    }
}

#[test]
fn several_rows_that_crash_servers_are_all_found() {
    let is_poison = |row: &u32| row.is_multiple_of(90);
    let verdict = |row| {
        if is_poison(&row) {
            Verdict::ServerCrashed
        } else {
            Verdict::Done
        }
    };
    let mut outcome = simulate(300, &[1, 2], verdict, 24 * HOUR);
    outcome.poison.sort_unstable();
    assert_eq!(outcome.poison, [0, 90, 180, 270]);
    assert_eq!(outcome.answered.len(), 296);
}

#[test]
fn a_row_that_servers_always_hang_up_at_fails_in_the_end() {
    for rows in [200, 1] {
        let verdict = |row| if row == 0 { LOST } else { Verdict::Done };
        let outcome = simulate(rows, &[1], verdict, HOUR);
        assert_eq!(
            (&outcome.poison[..], outcome.answered.len()),
            (&[0][..], rows as usize - 1)
        );
        assert!(
            outcome.took > seconds(60),
            "it may have been the network: {:?}",
            outcome.took
        );
    }
}

#[test]
fn a_row_that_never_finds_room_where_others_do_fails_in_the_end() {
    let refused = Verdict::Retry(RetryReason::Overloaded { retry_after: None });
    for rows in [200, 1] {
        let verdict = |row| if row == 0 { refused } else { Verdict::Done };
        let outcome = simulate(rows, &[1], verdict, 4 * HOUR);
        assert_eq!(
            (&outcome.failed[..], outcome.answered.len()),
            (&[0][..], rows as usize - 1)
        );
        assert!(
            outcome.took > seconds(1800),
            "it may have been a storm: {:?}",
            outcome.took
        );
    }
}

#[test]
fn rows_at_a_server_that_fails_at_everything_never_fail_for_it() {
    let refused = Verdict::Retry(RetryReason::Overloaded { retry_after: None });
    for verdict in [LOST, refused, Verdict::ServerCrashed, Verdict::ServerUnhealthy] {
        let start = Instant::now();
        let (mut now, mut dispatch) = (start, dispatch(300, &[1, 2]));
        while now < start + 24 * HOUR {
            for sent in send_all(&mut dispatch, now) {
                assert_eq!(
                    dispatch.settle(sent.request, verdict, 1, now, 1.0),
                    Settled::Again,
                    "{verdict:?}"
                );
            }
            for silent in dispatch.to_probe(now) {
                assert_eq!(dispatch.probed(silent.replica, Sign::Life, now, 1.0), []);
            }
            now += seconds(5);
        }
    }
}

#[test]
fn a_suspect_is_tried_alone_and_the_others_go_on() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for _ in 0..2 {
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, Verdict::ServerCrashed, 1, now, 1.0);
        now += seconds(60);
    }
    assert_eq!(dispatch.next(now), None, "the server has not shown that it works");
    let asked = dispatch.to_probe(now)[0].replica;
    assert_eq!(dispatch.probed(asked, Sign::Answer, now, 1.0), []);
    let sent = dispatch.next(now).unwrap();
    dispatch.add(8);
    assert_eq!(dispatch.next(now), None, "the suspect is alone");
    assert_eq!(dispatch.set_replicas(&replicas(&[1, 2]), now), []);
    let other = dispatch.next(now).unwrap();
    assert_eq!((other.row, pod(&dispatch, &other)), (8, "server-2".into()));
    dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    dispatch.add(9);
    let next = dispatch.next(now).unwrap();
    assert_eq!((next.row, next.replica), (9, sent.replica));
}

#[test]
fn a_row_that_a_server_survived_is_no_suspect() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for verdict in [Verdict::ServerCrashed, SERVER_ERROR, Verdict::ServerCrashed] {
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, verdict, 1, now, 1.0);
        now += seconds(60);
    }
    dispatch.add(8);
    let sent = dispatch.next(now).unwrap();
    dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    dispatch.add(9);
    assert_eq!(send_all(&mut dispatch, now).len(), 2, "no replica is kept for it");
}
