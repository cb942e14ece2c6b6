//! Exit codes. Zero is as it should be.

/// The job failed, or the data set is bad.
pub const BAD: u8 = 1;
/// The time of `wait` is over.
pub const TIME_OVER: u8 = 2;
/// It could not be done or asked, or the arguments are wrong.
pub const NOT_DONE: u8 = 3;
/// Nobody reads standard output any more: what a shell says of a program that SIGPIPE ended.
pub const NO_READER: u8 = 128 + 13;
/// A person, or the machine, wanted it to end: what a shell says of a program that SIGINT ended.
pub const INTERRUPTED: u8 = 128 + 2;
