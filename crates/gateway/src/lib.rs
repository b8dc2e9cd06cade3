//! The parts of the `mcp-login` program: a gateway that puts a login in front of any MCP server.
//!
//! This crate is a program; its library half exists so that the program's own tests can reach the parts. To protect a server
//! written in Rust, use the crate `mcp-login`.

pub mod assemble;
pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod log;
pub mod proxy;
pub mod rebinding;
pub mod serve;
