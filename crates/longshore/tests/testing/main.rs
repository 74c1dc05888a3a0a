//! The test kit, tested: what each fault does, how time goes, and that expectations fail when they should.

mod clerk;

mod expectations;
mod faults;
mod lives;
mod records;
mod time;
