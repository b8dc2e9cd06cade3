//! Which client it is, and whether it is the one it says.

mod authenticate;
mod resolve;

pub(crate) use authenticate::{AuthenticatedClient, AuthenticationError};
pub(crate) use resolve::resolve;
