//! What a row has been through, and what that says of it.
//!
//! A fault without an answer says little of a row: whoever shares a server with a row that crashes it has the same faults. A row
//! with many of them in a row is a *suspect*: it is tried with few others, then with fewer, then alone, each time at a server that
//! has just shown that it works. Only what happens there is put down to the row.

use super::replica::ReplicaId;

/// Faults in a row, without an answer between them, that make a suspect: crashes of servers are rare, lost connections and refusals
/// may come from anywhere.
const CRASHES_OF_A_SUSPECT: u32 = 2;
const LOSSES_OF_A_SUSPECT: u32 = 10;
const REFUSALS_OF_A_SUSPECT: u32 = 100;
/// How many suspects are tried together, at first, then of those that failed together, and so on. Each step costs a crash at most,
/// which is minutes; each group costs the time of its longest answer.
const TOGETHER: [usize; 3] = [32, 6, 1];
/// Faults alone at a working server after which a row has failed. One could still be chance.
const FAULTS_ALONE: u32 = 2;
/// Times without an answer that are put down to a server that gave no sign of life. A row could be what silences it.
const EXCUSES: u32 = 2;

/// A row, and what it has been through.
#[derive(Debug)]
pub struct Tried<Row> {
    /// The row.
    pub row: Row,
    /// Requests, whether they count or not.
    pub tries: u32,
    /// The replica that failed at it last: others are better.
    pub failed_at: Option<ReplicaId>,
    attempts: u32,
    excuses: u32,
    /// The last attempt was answered with a failure of the server's own, and others were there.
    may_be_excused: bool,
    faults: Faults,
}

/// What happened since the last answer.
#[derive(Debug, Default)]
struct Faults {
    crashes: u32,
    losses: u32,
    refusals: u32,
    /// Groups of suspects that the row was in, and that had a fault.
    narrowed: usize,
    alone: u32,
}

/// A way to get no answer, or none that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server crashed.
    Crash,
    /// The connection was lost.
    Loss,
    /// The server had no room.
    Refusal,
}

/// Whom a row was at the server with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Any rows.
    Any,
    /// Other suspects.
    Suspects,
    /// No row, at a server that has shown that it works.
    Nobody,
}

/// What is to be done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may be sent again.
    Again,
    /// Its attempts are used up.
    Failed,
    /// It is what its servers failed of.
    Poison,
}

impl<Row> Tried<Row> {
    pub fn new(row: Row) -> Self {
        Self {
            row,
            tries: 0,
            failed_at: None,
            attempts: 0,
            excuses: 0,
            may_be_excused: false,
            faults: Faults::default(),
        }
    }

    /// How closely the row is looked at, if it is a suspect: [`group`] has how many are tried together.
    pub fn suspicion(&self) -> Option<usize> {
        let faults = &self.faults;
        let is_suspect = faults.crashes >= CRASHES_OF_A_SUSPECT
            || faults.losses >= LOSSES_OF_A_SUSPECT
            || faults.refusals >= REFUSALS_OF_A_SUSPECT;
        is_suspect.then(|| faults.narrowed.min(TOGETHER.len() - 1))
    }

    /// Takes a fault without an answer. Only alone it is put down to the row.
    pub fn fault(&mut self, fault: Fault, company: Company, max_attempts: u32) -> Judgement {
        let faults = &mut self.faults;
        faults.narrowed += usize::from(company == Company::Suspects);
        match fault {
            Fault::Crash => faults.crashes += 1,
            Fault::Loss => faults.losses += 1,
            Fault::Refusal => faults.refusals += 1,
        }
        if company != Company::Nobody {
            return Judgement::Again;
        }
        if fault == Fault::Refusal {
            return self.attempt(max_attempts);
        }
        faults.alone += 1;
        if faults.alone >= FAULTS_ALONE {
            Judgement::Poison
        } else {
            Judgement::Again
        }
    }

    /// Takes an answer, or the lack of one in time, that uses up an attempt: the server has outlived the row.
    pub fn failure(&mut self, max_attempts: u32) -> Judgement {
        self.may_be_excused = false;
        self.faults = Faults::default();
        self.attempt(max_attempts)
    }

    /// Takes an answer by which the server says that it failed. It uses up an attempt, unless the server turns out to be broken.
    pub fn failure_of_server(&mut self, company: Company, max_attempts: u32) -> Judgement {
        let judgement = self.failure(max_attempts);
        self.may_be_excused = company != Company::Nobody;
        judgement
    }

    /// The server that failed at it is broken: that uses up no attempt. Like a crash, it may have been a row that broke it.
    pub fn excuse(&mut self) {
        if std::mem::take(&mut self.may_be_excused) {
            self.attempts = self.attempts.saturating_sub(1);
            self.faults.crashes += 1;
        }
    }

    /// Takes that there was no answer in time, and no other sign of life from the server.
    pub fn silence(&mut self, max_attempts: u32) -> Judgement {
        if self.excuses == EXCUSES {
            return self.failure(max_attempts);
        }
        self.excuses += 1;
        Judgement::Again
    }

    fn attempt(&mut self, max_attempts: u32) -> Judgement {
        self.attempts += 1;
        if self.attempts >= max_attempts {
            Judgement::Failed
        } else {
            Judgement::Again
        }
    }
}

/// How many of `suspects` that are looked at so closely are tried together: never all of them, as that was tried before.
pub fn group(suspicion: usize, suspects: usize) -> usize {
    let most = TOGETHER.get(suspicion).copied().unwrap_or(1);
    most.min(suspects.div_ceil(2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_ATTEMPTS: u32 = 3;

    fn after(faults: &[(Fault, u32)]) -> Tried<()> {
        let mut tried = Tried::new(());
        for (fault, times) in faults {
            for _ in 0..*times {
                assert_eq!(tried.fault(*fault, Company::Any, MAX_ATTEMPTS), Judgement::Again);
            }
        }
        tried
    }

    #[test]
    fn faults_in_company_make_a_suspect_and_never_fail_a_row() {
        for (few, enough) in [
            (&[(Fault::Crash, 1)], &[(Fault::Crash, 2)]),
            (&[(Fault::Loss, 9)], &[(Fault::Loss, 10)]),
            (&[(Fault::Refusal, 99)], &[(Fault::Refusal, 1000)]),
        ] {
            assert_eq!(after(few).suspicion(), None, "{few:?}");
            assert_eq!(after(enough).suspicion(), Some(0), "{enough:?}");
        }
        let mut answered = after(&[(Fault::Loss, 10)]);
        assert_eq!(answered.failure(MAX_ATTEMPTS), Judgement::Again);
        assert_eq!(answered.suspicion(), None, "the server has outlived it");
    }

    #[test]
    fn a_suspect_is_looked_at_more_and_more_closely_and_fails_alone() {
        let mut tried = after(&[(Fault::Crash, 2)]);
        for suspicion in [1, 2, 2] {
            tried.fault(Fault::Crash, Company::Suspects, MAX_ATTEMPTS);
            assert_eq!(tried.suspicion(), Some(suspicion));
        }
        let mut alone = |fault| tried.fault(fault, Company::Nobody, MAX_ATTEMPTS);
        assert_eq!(
            [alone(Fault::Crash), alone(Fault::Loss)],
            [Judgement::Again, Judgement::Poison]
        );
    }

    #[test]
    fn a_refusal_alone_uses_up_an_attempt() {
        let mut tried = after(&[(Fault::Refusal, 100)]);
        let mut alone = || tried.fault(Fault::Refusal, Company::Nobody, MAX_ATTEMPTS);
        assert_eq!(
            [alone(), alone(), alone()],
            [Judgement::Again, Judgement::Again, Judgement::Failed]
        );
    }

    #[test]
    fn silence_is_put_down_to_the_server_a_few_times() {
        let mut tried = Tried::new(());
        let mut silence = || tried.silence(MAX_ATTEMPTS);
        assert_eq!([silence(), silence(), silence(), silence()], [Judgement::Again; 4]);
        assert_eq!(silence(), Judgement::Failed);
    }

    #[test]
    fn groups_become_smaller_and_are_never_all() {
        assert_eq!(
            [2000, 64, 8, 2, 1].map(|suspects| group(0, suspects)),
            [32, 32, 4, 1, 1]
        );
        assert_eq!([32, 4, 1].map(|suspects| group(1, suspects)), [6, 2, 1]);
        assert_eq!([6, 1, 0].map(|suspects| group(2, suspects)), [1, 1, 1]);
    }
}
