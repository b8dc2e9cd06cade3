//! `[limits]`.

use std::time::Duration;

use mcp_login_gateway::config::valid::{Backend, LimitsConfig};
use mcp_login_gateway::descriptors::Half;

use super::{MINIMAL, check, check_with, one_fault};

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;

fn limits(lines: &str) -> LimitsConfig {
    check(&file(lines)).unwrap_or_else(|faults| panic!("{faults}")).config.limits
}

fn file(lines: &str) -> String {
    format!("{MINIMAL}\n[limits]\n{lines}")
}

#[test]
fn without_limits_there_are_the_documented_ones() {
    for limits in [limits(""), check(MINIMAL).unwrap().config.limits] {
        let l = limits.listener;
        assert_eq!((l.header_read, l.idle, l.write), (15 * SECOND, 60 * SECOND, 60 * SECOND));
        assert_eq!((l.drain, l.goodbye), (8 * SECOND, 2 * SECOND));
        let t = limits.timeouts;
        assert_eq!((t.connect, t.response), (5 * SECOND, 300 * SECOND));
        assert_eq!((t.body_idle, t.body), (30 * SECOND, 600 * SECOND));
        assert_eq!(limits.max_body, 32 * MIB);
        // How many descriptors there are is this machine's.
        let half = Half::of_this_process();
        assert_eq!((l.connections, limits.at_once.requests), (half.connections(), half.requests(1)));
        assert_eq!(limits.at_once.requests_per_user, (half.requests(1) / 2).min(256));
    }
}

#[test]
fn servers_at_addresses_share_what_there_is() {
    let more =
        "\n[[mcp]]\npath = \"/b\"\nbackend = \"http://h/\"\n[[mcp]]\npath = \"/c\"\ncommand = [\"npx\"]\n";
    let limits = check(&format!("{MINIMAL}{more}")).unwrap_or_else(|faults| panic!("{faults}")).config.limits;
    assert_eq!(limits.at_once.requests, Half::of_this_process().requests(2));
    assert_eq!(limits.listener.connections, Half::of_this_process().connections());
}

#[test]
fn every_limit_can_be_set() {
    let limits = limits(
        "connections = 100\nheader_timeout = \"1s\"\nidle_timeout = \"2s\"\nwrite_timeout = \"3s\"\ndrain_timeout = \"1s\"\n\
         max_body = \"1GiB\"\nbody_timeout = \"1h\"\nbody_idle_timeout = \"4s\"\nconnect_timeout = \"5s\"\n\
         response_timeout = \"6s\"\nmax_requests = 70\nmax_requests_per_user = 8",
    );
    let l = limits.listener;
    assert_eq!((l.connections, l.header_read, l.idle, l.write), (100, SECOND, 2 * SECOND, 3 * SECOND));
    // Nobody is waited for until after the end.
    assert_eq!((l.drain, l.goodbye), (SECOND, SECOND));
    let t = limits.timeouts;
    assert_eq!(
        (t.body, t.body_idle, t.connect, t.response),
        (3600 * SECOND, 4 * SECOND, 5 * SECOND, 6 * SECOND)
    );
    assert_eq!(limits.max_body, 1024 * MIB);
    assert_eq!((limits.at_once.requests, limits.at_once.requests_per_user), (70, 8));
    assert_eq!(self::limits("max_requests = 7").at_once.requests_per_user, 7);
}

#[test]
fn a_limit_out_of_its_bounds_is_a_fault() {
    for (line, key) in [
        ("connections = 0", "connections"),
        ("header_timeout = \"0s\"", "header_timeout"),
        ("idle_timeout = \"2d\"", "idle_timeout"),
        ("write_timeout = \"100ms\"", "write_timeout"),
        ("drain_timeout = \"2h\"", "drain_timeout"),
        ("max_body = \"0\"", "max_body"),
        ("max_body = \"65GiB\"", "max_body"),
        ("max_body = \"32MB\"", "max_body"),
        ("body_timeout = \"\"", "body_timeout"),
        ("body_idle_timeout = \"11m\"", "body_idle_timeout"),
        ("connect_timeout = \"6m\"", "connect_timeout"),
        ("response_timeout = \"forever\"", "response_timeout"),
        ("max_requests = -1", "max_requests"),
        ("max_requests_per_user = 0", "max_requests_per_user"),
        ("max_requests = 2\nmax_requests_per_user = 3", "max_requests_per_user"),
        ("max_bodies = 1", "max_bodies"),
    ] {
        one_fault(&file(line), &format!("limits.{key}"));
    }
}

#[test]
fn the_environment_can_set_them() {
    let checked = check_with(MINIMAL, &[("MCP_LOGIN_LIMITS__MAX_BODY", "1KiB")]);
    assert_eq!(checked.unwrap().config.limits.max_body, 1024);
}

#[test]
fn a_server_may_take_larger_bodies_than_the_others() {
    let text = format!("{MINIMAL}max_body = \"1GiB\"\n");
    let Backend::Urls(backend) = &check(&text).unwrap().config.mcp[0].backend else { panic!("a program") };
    assert_eq!(backend.max_body, Some(1024 * MIB));
    one_fault(&format!("{MINIMAL}max_body = \"many\"\n"), "mcp[0].max_body");
}
