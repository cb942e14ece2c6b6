//! The servers and data sets that are simulated.

use super::simulation::{Batching, Case, Lengths, Server};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;

/// Chat as it is in data sets: a tenth of the rows are ten times the shortest tenth.
const CHAT: Lengths = Lengths {
    median: (150.0, 150.0),
    sigma: 0.9,
    longest: 2048,
};
/// Long answers to short prompts: the cache fills after rows were taken.
const ESSAYS: Lengths = Lengths {
    median: (60.0, 400.0),
    sigma: 0.7,
    longest: 2048,
};
/// A word for each prompt.
const LABELS: Lengths = Lengths {
    median: (120.0, 2.0),
    sigma: 0.7,
    longest: 1024,
};

/// All, the easy ones first.
pub const CASES: &[Case] = &[
    Case {
        name: "small model on a GPU, 256 slots",
        server: Server::Batching(Batching {
            slots: 256,
            cache: 400_000,
            step_tokens: 8192,
            step: 6 * MILLISECOND,
            row: 25 * MICROSECOND,
            prompt_token: 10 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 20_000,
        sorted: false,
    },
    Case {
        name: "small model, 2,000 rows",
        server: Server::Batching(Batching {
            slots: 256,
            cache: 400_000,
            step_tokens: 8192,
            step: 6 * MILLISECOND,
            row: 25 * MICROSECOND,
            prompt_token: 10 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 2_000,
        sorted: false,
    },
    Case {
        name: "small model, short rows first",
        server: Server::Batching(Batching {
            slots: 256,
            cache: 400_000,
            step_tokens: 8192,
            step: 6 * MILLISECOND,
            row: 25 * MICROSECOND,
            prompt_token: 10 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 20_000,
        sorted: true,
    },
    Case {
        name: "many slots",
        server: Server::Batching(Batching {
            slots: 1024,
            cache: 400_000,
            step_tokens: 8192,
            step: 6 * MILLISECOND,
            row: 25 * MICROSECOND,
            prompt_token: 10 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 20_000,
        sorted: false,
    },
    Case {
        name: "large model, 128 slots",
        server: Server::Batching(Batching {
            slots: 128,
            cache: 200_000,
            step_tokens: 4096,
            step: 30 * MILLISECOND,
            row: 100 * MICROSECOND,
            prompt_token: 80 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 10_000,
        sorted: false,
    },
    Case {
        name: "small cache, long answers",
        server: Server::Batching(Batching {
            slots: 256,
            cache: 40_000,
            step_tokens: 4096,
            step: 20 * MILLISECOND,
            row: 60 * MICROSECOND,
            prompt_token: 50 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: ESSAYS,
        rows: 10_000,
        sorted: false,
    },
    Case {
        name: "labels, 256 slots",
        server: Server::Batching(Batching {
            slots: 256,
            cache: 400_000,
            step_tokens: 8192,
            step: 6 * MILLISECOND,
            row: 25 * MICROSECOND,
            prompt_token: 10 * MICROSECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: LABELS,
        rows: 20_000,
        sorted: false,
    },
    Case {
        name: "CPU, 4 slots",
        server: Server::Batching(Batching {
            slots: 4,
            cache: 8192,
            step_tokens: 512,
            step: 12 * MILLISECOND,
            row: 6 * MILLISECOND,
            prompt_token: MILLISECOND,
            queue: usize::MAX,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 2_000,
        sorted: false,
    },
    Case {
        name: "64 slots, refuses beyond 32 waiting",
        server: Server::Batching(Batching {
            slots: 64,
            cache: 200_000,
            step_tokens: 4096,
            step: 15 * MILLISECOND,
            row: 80 * MICROSECOND,
            prompt_token: 40 * MICROSECOND,
            queue: 32,
        }),
        round_trip: MILLISECOND,
        lengths: CHAT,
        rows: 10_000,
        sorted: false,
    },
    Case {
        name: "answers after 20 ms",
        server: Server::Delay(20 * MILLISECOND),
        round_trip: MILLISECOND / 2,
        lengths: LABELS,
        rows: 200_000,
        sorted: false,
    },
    Case {
        name: "answers 100,000 rows/s",
        server: Server::Line(10 * MICROSECOND),
        round_trip: MILLISECOND / 2,
        lengths: LABELS,
        rows: 500_000,
        sorted: false,
    },
];
