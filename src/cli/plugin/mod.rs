//! `kubectl bij`: jobs made, followed, ended and fetched without writing YAML.
//!
//! [`arguments`] says what can be typed, [`commands`] starts what it names. What is printed is pure: [`columns`] and [`table`] (lists),
//! [`progress`] (how far a job is, as a bar or a sentence), [`narration`] (what it waits for), `create/manifest.rs` (flags → job). What
//! asks the cluster ([`cluster`], found by a [`kubeconfig`], perhaps behind a [`proxy`]) goes through [`jobs`] and [`stores`], and what
//! it refuses becomes words in [`refusal`]. Files come from the store in `results` and go there in `create/upload`, directly where the
//! store is in [`reach`] of its [`keys`] or of a cloud's [`identity`], or through a [`pod`].

mod age;
mod arguments;
mod change;
mod cluster;
mod columns;
mod commands;
mod completion;
mod create;
mod duration;
mod exit;
mod findings;
mod follow;
mod identity;
mod interruption;
mod job;
mod jobs;
mod keys;
mod kubeconfig;
mod lines;
mod login;
mod named;
mod narration;
mod pod;
mod printed;
mod progress;
mod proxy;
mod reach;
mod refusal;
mod results;
mod screen;
mod show;
mod standard_error;
mod standard_output;
mod stores;
mod table;
mod validate;
mod verdict;
mod wait;
mod watch;

pub use commands::main;
