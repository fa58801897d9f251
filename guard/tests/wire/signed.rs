//! Every signed front door over the wire: its good token passes, and each bad one does not; Immich is not even dialled.
//!
//! One story a signer, with keys made here and served on loopback. What is wrong with a token comes from one table of faults
//! ([`faults`]), beside what is peculiar to the signer.

mod alb;
mod door;
mod faults;
mod signers;
