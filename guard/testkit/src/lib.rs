//! Fakes that misbehave on purpose.
