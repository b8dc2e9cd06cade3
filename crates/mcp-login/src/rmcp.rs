//! [`Caller`] and [`MaybeCaller`] as parameters of rmcp tools and prompts.

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::handler::server::common::{AsRequestContext, FromContextPart};

use crate::resource::{Caller, MaybeCaller};

/// Refuses the call of somebody who has not signed in, which can only be one that the resource names as public.
impl<C: AsRequestContext> FromContextPart<C> for Caller {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        MaybeCaller::from_context_part(context)?
            .0
            .ok_or_else(|| ErrorData::invalid_request("this needs a login", None))
    }
}

impl<C: AsRequestContext> FromContextPart<C> for MaybeCaller {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        let parts = context.as_request_context().extensions.get::<Parts>();
        match parts.and_then(|parts| parts.extensions.get::<Self>()) {
            Some(caller) => Ok(caller.clone()),
            // Nobody has decided: that is a mistake of the program, not of its user.
            None => Err(ErrorData::internal_error("this MCP server is not behind AuthServer::protect", None)),
        }
    }
}
