//! A broker of the kind that `LONGSHORE_TEST_BROKER` names, for scripts: prints where it listens, runs until its
//! standard input ends.
//!
//! `LONGSHORE_TEST_BROKER=apache cargo run -p longshore-testkit --example broker`

#![allow(clippy::print_stdout)]

use std::io::Read;

use longshore_testkit::broker::TestBroker;

fn main() -> std::io::Result<()> {
    let broker = TestBroker::shared();
    println!("{}", broker.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
