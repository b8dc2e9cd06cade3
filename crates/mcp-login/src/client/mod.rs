//! Which client it is, and whether it is the one it says.

mod authenticate;
pub(crate) mod known;
mod resolve;

pub(crate) use authenticate::{AuthenticatedClient, AuthenticationError};
pub(crate) use resolve::resolve;
