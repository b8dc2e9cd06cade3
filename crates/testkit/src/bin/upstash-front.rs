//! The REST interface of Upstash in front of the Redis on a port of 127.0.0.1: `upstash-front REDIS_PORT TOKEN`. Says its
//! address on standard output and runs until it is ended.
#![allow(clippy::print_stdout, reason = "that is how the address is told")]

use std::io::Write;
use std::process::ExitCode;

use mcp_login_testkit::upstash_front::UpstashFront;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (redis, token) = match arguments.as_slice() {
        [redis, token] => (redis.parse().ok(), token),
        _ => (None, &String::new()),
    };
    let Some(redis) = redis else {
        eprintln!("upstash-front REDIS_PORT TOKEN");
        return ExitCode::from(2);
    };
    let front = UpstashFront::before(redis, token);
    println!("{}", front.rest_url());
    if std::io::stdout().flush().is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
