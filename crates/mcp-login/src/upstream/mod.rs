//! The OAuth client of the service whose data it is.
