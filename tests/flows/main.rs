//! One file a flow, in one binary.

mod refresh;
